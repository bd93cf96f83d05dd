/** A service worker that leaves everything to the network. */
self.addEventListener("fetch", () => {});
