// A small service in Node, sound but for what PLANTED names.
const http = require("http");
const fs = require("fs");

const planted = process.env.PLANTED || "";
const kept = [];
let isStopping = false;

const server = http.createServer((request, response) => {
  if (planted === "grows-in-memory") kept.push(Buffer.alloc(400000, "x"));
  if (planted === "leaks-file-descriptors") fs.openSync("/dev/null", "r");
  const answer = () => {
    if (isStopping) response.setHeader("Connection", "close");
    if (request.url !== "/health") {
      console.log(JSON.stringify({ time: process.hrtime.bigint().toString(), path: request.url }));
    }
    response.end("{}");
  };
  request.resume();
  setTimeout(answer, planted === "drops-requests-on-stop" ? 60 : 3);
});

server.listen(8080, planted === "binds-localhost" ? "127.0.0.1" : "0.0.0.0");
if (planted !== "ignores-sigterm") {
  process.on("SIGTERM", () => {
    if (planted === "drops-requests-on-stop") process.exit(0);
    isStopping = true;
    setTimeout(() => process.exit(0), 2000);
  });
}
