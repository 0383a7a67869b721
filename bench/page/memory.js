// Records every wasm memory that later code creates or receives, to report their sizes. A wasm memory never
// shrinks, so its size is its peak.

const memories = new Set();

const { Memory, instantiate, instantiateStreaming, Instance } = WebAssembly;

function noteExports(instance) {
  for (const value of Object.values(instance.exports)) if (value instanceof Memory) memories.add(value);
  return instance;
}

WebAssembly.Memory = class extends Memory {
  constructor(descriptor) {
    super(descriptor);
    memories.add(this);
  }
};
WebAssembly.Instance = class extends Instance {
  constructor(...args) {
    super(...args);
    noteExports(this);
  }
};
for (const [name, original] of Object.entries({ instantiate, instantiateStreaming })) {
  WebAssembly[name] = async (...args) => {
    const result = await original(...args);
    noteExports(result.instance ?? result);
    return result;
  };
}

/** The bytes of all memories. */
globalThis.wasmBytes = () => [...memories].reduce((sum, memory) => sum + Number(memory.buffer.byteLength), 0);

// A worker whose messages belong to its engine reports on a channel. The channel's name is in the URL of
// this import.
const [, name] = new URL(import.meta.url).search.split('?');
if (name) {
  const channel = new BroadcastChannel(name);
  channel.onmessage = ({ data }) => data === 'how much?' && channel.postMessage(globalThis.wasmBytes());
}
