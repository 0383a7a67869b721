// Makes the wasm that measures the limits: sums over memory with 128-bit loads, and enough independent
// chains of multiply-adds to fill the pipelines.

import wabtModule from 'wabt';

const LANES = 4;
const CHAINS = 12; // more than latency x units of any present CPU, and few enough for 16 registers
const LOADS = 16;
const PAGES = 4096; // 256 MiB
const times = (count, text) => Array.from({ length: count }, (_, i) => text(i)).join('\n');
const locals = (name, count) => times(count, (i) => `(local $${name}${i} v128)`);
const total = (name, count) => times(count, (i) => `local.get $${name}${i}\ni32x4.add`);

const read = `
  (func (export "read") (param $end i32) (result i32) (local $at i32) ${locals('sum', 4)}
    (loop $again
      ${times(LOADS, (i) => `(local.set $sum${i % 4} (i32x4.add (local.get $sum${i % 4}) (v128.load offset=${16 * i} (local.get $at))))`)}
      (br_if $again (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const ${16 * LOADS}))) (local.get $end))))
    (v128.const i32x4 0 0 0 0) ${total('sum', 4)} i32x4.extract_lane 0)`;

/** `step`: the code that computes chain i from itself, x and y. */
const chains = (name, step) => `
  (func (export "${name}") (param $rounds i32) (result i32) (local $x v128) (local $y v128) ${locals('c', CHAINS)}
    (local.set $x (f32x4.splat (f32.const 0.5)))
    (local.set $y (f32x4.splat (f32.const 1.25)))
    ${times(CHAINS, (i) => `(local.set $c${i} (f32x4.splat (f32.const ${i})))`)}
    (loop $again
      ${times(CHAINS, (i) => `(local.set $c${i} ${step(`(local.get $c${i})`)})`)}
      (br_if $again (local.tee $rounds (i32.sub (local.get $rounds) (i32.const 1)))))
    (v128.const i32x4 0 0 0 0) ${total('c', CHAINS)} i32x4.extract_lane 0)`;

const WAT = `(module
  (memory (export "memory") ${PAGES})
  (global (export "FLOPS") i32 (i32.const ${2 * LANES * CHAINS}))
  ${read}
  ${chains('multiply_add', (c) => `(f32x4.add (f32x4.mul (local.get $x) ${c}) (local.get $y))`)}
  ${chains('relaxed_fma', (c) => `(f32x4.relaxed_madd (local.get $x) ${c} (local.get $y))`)})`;

/** The bytes of the module. */
export async function limitsWasm() {
  const wabt = await wabtModule();
  const module = wabt.parseWat('limits.wat', WAT, { simd: true, relaxed_simd: true });
  return module.toBinary({}).buffer;
}
