// The package's worker, whose wall clock a test can set: the channel "clock" says by how many milliseconds it is wrong.

let wrong = 0;
const { now } = Date;
Date.now = () => now() + wrong;
new BroadcastChannel("clock").onmessage = ({ data }) => (wrong = data);

// What arrives before the worker has loaded is kept for it.
const early = [];
self.onmessage = (event) => early.push(event);
await import("/dist/worker/worker.js");
for (const event of early) self.onmessage(event);
