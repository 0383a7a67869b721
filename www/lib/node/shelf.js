// Published models that were tried here, smallest first. `npx fireside models` prints them, and a test
// compares the table of models/README.md with them.
//
// Units: parameters counted from the shape, tied matrices once; bytes of the weights in 16 bits, and of the
// KV cache in f32 for each token.

/**
 * `fileBytes`: of the weight file, where that is f32. `about`: what to expect of it.
 * @typedef {{ name: string, parameters: number, weightBytes: number, fileBytes?: number, kvBytesPerToken:
 *   number, about: string }} Published
 */

/** @type {readonly Published[]} */
export const SHELF = Object.freeze([
  { name: 'raincandy-u/TinyStories-656K', parameters: 656_000, weightBytes: 1_312_000, fileBytes: 2_624_000, kvBytesPerToken: 1_024, about: 'stories, up to 512 tokens; writes `<|end_story|>` as text' },
  { name: 'Felladrin/Minueza-32M-UltraChat', parameters: 32_792_760, weightBytes: 65_585_520, fileBytes: 131_171_040, kvBytesPerToken: 8_320, about: 'the smallest real chat; Mistral, window 1,024' },
  { name: 'HuggingFaceTB/SmolLM2-135M-Instruct', parameters: 134_515_008, weightBytes: 269_030_016, kvBytesPerToken: 46_080, about: 'fast, simple answers' },
  { name: 'HuggingFaceTB/SmolLM2-360M-Instruct', parameters: 361_821_120, weightBytes: 723_642_240, kvBytesPerToken: 81_920, about: 'better answers, still fast' },
  { name: 'Qwen/Qwen2.5-0.5B-Instruct', parameters: 494_032_768, weightBytes: 988_065_536, kvBytesPerToken: 24_576, about: 'English and Chinese, small cache' },
  { name: 'Qwen/Qwen3-0.6B', parameters: 596_049_920, weightBytes: 1_192_099_840, kvBytesPerToken: 229_376, about: 'English and Chinese, thinks aloud, large cache' },
  { name: 'meta-llama/Llama-3.2-1B-Instruct', parameters: 1_235_814_400, weightBytes: 2_471_628_800, kvBytesPerToken: 65_536, about: 'its licence must be accepted before downloading' },
]);

/** @param {number} bytes as the table and the terminal show them */
export function size(bytes) {
  if (bytes >= 1e9) return `${(bytes / 1e9).toFixed(2)} GB`;
  return bytes >= 1e8 ? `${Math.round(bytes / 1e6)} MB` : `${(bytes / 1e6).toFixed(1)} MB`;
}
