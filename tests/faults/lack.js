// Runs in a worker before the library: removes the features that the worker's URL names: `opfs` (the Origin
// Private File System), `caches` (the Cache API).

const lacking = new URLSearchParams(self.location.search);
if (lacking.has('opfs')) delete StorageManager.prototype.getDirectory;
if (lacking.has('caches')) delete self.caches;
if (lacking.has('caches')) delete WorkerGlobalScope.prototype.caches;
