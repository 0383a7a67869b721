// A page written for a browser that has the Prompt API. It uses nothing else.

const $ = (/** @type {string} */ selector) => /** @type {any} */ (document.querySelector(selector));
const { LanguageModel } = /** @type {any} */ (globalThis);

const options = { expectedInputs: [{ type: 'text', languages: ['en'] }], expectedOutputs: [{ type: 'text', languages: ['en'] }] };
if ((await LanguageModel.availability(options)) === 'unavailable') throw new Error('no language model');

const session = await LanguageModel.create({
  ...options,
  initialPrompts: [{ role: 'system', content: 'You are a helpful assistant.' }],
  monitor(/** @type {EventTarget} */ monitor) {
    monitor.addEventListener('downloadprogress', (event) => ($('progress').value = /** @type {ProgressEvent} */ (event).loaded));
  },
});
$('#state').textContent = 'ready';

$('form').addEventListener('submit', async (/** @type {Event} */ event) => {
  event.preventDefault();
  $('#state').textContent = 'busy';
  $('#answer').textContent = '';
  // A separate branch for each question, as the explainer suggests.
  const branch = await session.clone();
  for await (const chunk of branch.promptStreaming($('input').value)) $('#answer').textContent += chunk;
  $('#used').textContent = `${branch.contextUsage} of ${branch.contextWindow}`;
  branch.destroy();
  $('#state').textContent = 'ready';
});
