// Drives snarkjs for the peer bench; benches/peers/process.py describes the protocol.
//
//     node driver.mjs serve CIRCUIT.r1cs CIRCUIT.wtns KEYS
//
// KEYS/zkey was written by the bench (ark/src/zkey.rs). One process, so no start-up is counted.
import { readFileSync } from "node:fs";
import os from "node:os";
import readline from "node:readline";

// ffjavascript starts one worker for each processor that the machine has, allowed or not.
const threads = Number(process.env.PEER_THREADS);
os.cpus = () => new Array(threads).fill({});
const snarkjs = await import("snarkjs");

const [mode, , wtnsPath, keys] = process.argv.slice(2);
if (mode !== "serve") throw new Error("usage: see the head of driver.mjs");
const say = (answer) => console.log(JSON.stringify(answer));
const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();

say({});
await lines.next(); // "load"

const inMemory = (path) => ({ type: "mem", data: new Uint8Array(readFileSync(path)) });
const zkey = inMemory(`${keys}/zkey`);
const wtns = inMemory(wtnsPath);
const vk = await snarkjs.zKey.exportVerificationKey(zkey);

let proof, publicSignals;
const prove = async () => ({ proof, publicSignals } = await snarkjs.groth16.prove(zkey, wtns));
const check = async () => {
  if (!(await snarkjs.groth16.verify(vk, publicSignals, proof))) throw new Error("not accepted");
};
const timed = async (work) => {
  const start = performance.now();
  await work();
  return performance.now() - start;
};

await prove();
await check();
say({
  key_bytes: zkey.data.length,
  vk_bytes: JSON.stringify(vk).length,
  proof_bytes: JSON.stringify(proof).length,
});
for await (const line of lines) {
  if (line === "prove") {
    const ms = await timed(prove);
    await check();
    say({ prove_s: ms / 1000 });
  } else if (line === "verify") {
    const times = [];
    for (let i = 0; i < 21; i++) times.push(await timed(check));
    say({ verify_ms: times.sort((a, b) => a - b)[10] });
  }
}
process.exit(0); // the curve's workers would keep the process alive
