// Puts the package where a test's functions, which run inside the page, find it.

window.fireside = await import('/lib/index.js');
