package main

import (
	"encoding/binary"
	"fmt"
	"math/big"
	"os"
	"slices"

	"github.com/consensys/gnark-crypto/ecc"
	"github.com/consensys/gnark/backend/witness"
	"github.com/consensys/gnark/constraint"
	bls12381 "github.com/consensys/gnark/constraint/bls12-381"
	bn254 "github.com/consensys/gnark/constraint/bn254"
)

// sections splits an iden3 binary file: magic, version, count, then (type, size, payload).
func sections(path, magic string) map[uint32][]byte {
	data, err := os.ReadFile(path)
	check(err)
	if string(data[:4]) != magic {
		panic(path + " is no " + magic + " file")
	}
	out := map[uint32][]byte{}
	for at := 12; at < len(data); {
		kind, size := binary.LittleEndian.Uint32(data[at:]), int(binary.LittleEndian.Uint64(data[at+4:]))
		out[kind] = data[at+12 : at+12+size]
		at += 12 + size
	}
	return out
}

// integer reads a little-endian integer.
func integer(data []byte) *big.Int {
	reversed := slices.Clone(data)
	slices.Reverse(reversed)
	return new(big.Int).SetBytes(reversed)
}

// readR1CS builds gnark's system through its low-level interface, wire by wire and row by row,
// so that what gnark proves is exactly the file: no front end adds or merges anything.
func readR1CS(path string) (constraint.ConstraintSystem, ecc.ID) {
	parts := sections(path, "r1cs")
	header := parts[1]
	size := int(binary.LittleEndian.Uint32(header))
	curve := curveOf(integer(header[4 : 4+size]).String())
	field := func(i int) int { return int(binary.LittleEndian.Uint32(header[4+size+4*i:])) }
	wires, public, rows := field(0), field(1)+field(2), int(binary.LittleEndian.Uint32(header[4+size+24:]))

	system := newSystem(curve, rows)
	system.AddPublicVariable("1")
	for i := range public {
		system.AddPublicVariable(fmt.Sprint("public", i))
	}
	for i := range wires - 1 - public {
		system.AddSecretVariable(fmt.Sprint("private", i))
	}
	adder := system.(interface {
		AddR1C(constraint.R1C, constraint.BlueprintID) int
	})
	blueprint := system.AddBlueprint(&constraint.BlueprintGenericR1C{})
	data := parts[2]
	side := func() constraint.LinearExpression {
		terms := make(constraint.LinearExpression, binary.LittleEndian.Uint32(data))
		data = data[4:]
		for i := range terms {
			coefficient := system.FromInterface(integer(data[4 : 4+size]))
			terms[i] = system.MakeTerm(coefficient, int(binary.LittleEndian.Uint32(data)))
			data = data[4+size:]
		}
		return terms
	}
	for range rows {
		adder.AddR1C(constraint.R1C{L: side(), R: side(), O: side()}, blueprint)
	}
	return system, curve
}

func newSystem(curve ecc.ID, rows int) constraint.ConstraintSystem {
	if curve == ecc.BN254 {
		return bn254.NewR1CS(rows)
	}
	return bls12381.NewR1CS(rows)
}

// readWitness returns the whole witness and its public part, both without the wire 1.
func readWitness(path string, curve ecc.ID, public int) (full, publicOnly witness.Witness) {
	parts := sections(path, "wtns")
	size := int(binary.LittleEndian.Uint32(parts[1]))
	values := parts[2][size:]
	count := len(values) / size
	feed := make(chan any, 1024)
	go func() {
		for i := range count {
			feed <- integer(values[size*i : size*(i+1)])
		}
		close(feed)
	}()
	full, err := witness.New(curve.ScalarField())
	check(err)
	check(full.Fill(public, count-public, feed))
	publicOnly, err = full.Public()
	check(err)
	return full, publicOnly
}
