// Puts the package where a test's functions find it, which run inside the page.

window.fireside = await import('/lib/index.js');
