// Drives gnark for the peer bench; benches/peers/process.py describes the protocol.
//
//	driver setup CIRCUIT.r1cs KEYS
//	driver serve CIRCUIT.r1cs CIRCUIT.wtns KEYS
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"sort"
	"time"

	"github.com/consensys/gnark-crypto/ecc"
	"github.com/consensys/gnark/backend/groth16"
	"github.com/consensys/gnark/logger"
)

func main() {
	logger.Disable()
	if len(os.Args) == 4 && os.Args[1] == "setup" {
		setup(os.Args[2], os.Args[3])
	} else if len(os.Args) == 5 && os.Args[1] == "serve" {
		serve(os.Args[2], os.Args[3], os.Args[4])
	} else {
		panic("usage: driver setup R1CS KEYS | driver serve R1CS WTNS KEYS")
	}
}

func setup(r1csPath, keys string) {
	system, _ := readR1CS(r1csPath)
	start := time.Now()
	pk, vk, err := groth16.Setup(system)
	check(err)
	seconds := time.Since(start).Seconds()
	write(filepath.Join(keys, "pk"), pk.WriteRawTo)
	write(filepath.Join(keys, "vk"), vk.WriteRawTo)
	say(map[string]any{"setup_s": seconds})
}

func serve(r1csPath, wtnsPath, keys string) {
	lines := bufio.NewScanner(os.Stdin)
	say(map[string]any{})
	lines.Scan() // "load"

	system, curve := readR1CS(r1csPath)
	full, public := readWitness(wtnsPath, curve, system.GetNbPublicVariables()-1)
	pk, vk := groth16.NewProvingKey(curve), groth16.NewVerifyingKey(curve)
	keyBytes := read(filepath.Join(keys, "pk"), pk.UnsafeReadFrom)
	vkBytes := read(filepath.Join(keys, "vk"), vk.ReadFrom)

	proof, err := groth16.Prove(system, pk, full)
	check(err)
	check(groth16.Verify(proof, vk, public))
	proofBytes, err := proof.WriteTo(io.Discard)
	check(err)
	debug.FreeOSMemory()
	say(map[string]any{"key_bytes": keyBytes, "vk_bytes": vkBytes, "proof_bytes": proofBytes})

	for lines.Scan() {
		switch lines.Text() {
		case "prove":
			start := time.Now()
			proof, err = groth16.Prove(system, pk, full)
			seconds := time.Since(start).Seconds()
			check(err)
			check(groth16.Verify(proof, vk, public))
			say(map[string]any{"prove_s": seconds})
		case "verify":
			say(map[string]any{"verify_ms": verifyMedian(proof, vk, func() error {
				return groth16.Verify(proof, vk, public)
			})})
		}
	}
}

func verifyMedian(proof groth16.Proof, vk groth16.VerifyingKey, verify func() error) float64 {
	times := make([]float64, 21)
	for i := range times {
		start := time.Now()
		check(verify())
		times[i] = time.Since(start).Seconds() * 1000
	}
	sort.Float64s(times)
	return times[len(times)/2]
}

func write(path string, writeTo func(io.Writer) (int64, error)) {
	file, err := os.Create(path)
	check(err)
	buffered := bufio.NewWriter(file)
	_, err = writeTo(buffered)
	check(err)
	check(buffered.Flush())
	check(file.Close())
}

func read(path string, readFrom func(io.Reader) (int64, error)) int64 {
	file, err := os.Open(path)
	check(err)
	defer file.Close()
	n, err := readFrom(bufio.NewReader(file))
	check(err)
	return n
}

func say(answer map[string]any) {
	line, err := json.Marshal(answer)
	check(err)
	fmt.Println(string(line))
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// curveOf returns the curve whose scalar field has this order.
func curveOf(order string) ecc.ID {
	for _, id := range []ecc.ID{ecc.BN254, ecc.BLS12_381} {
		if id.ScalarField().String() == order {
			return id
		}
	}
	panic("no curve with the scalar field " + order)
}
