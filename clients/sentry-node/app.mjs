// A small shop on node:http, and the requests that a visitor makes.
import * as Sentry from "@sentry/node"; // initialised by the snippet of the page: node --import ./instrument.mjs app.mjs
import http from "node:http";

class StockError extends Error {
  constructor(message, options) {
    super(message, options);
    this.name = "StockError";
  }
}

function reserve(sku) {
  throw new TypeError(`no such sku: ${sku}`);
}

function pay() {
  try {
    reserve("grün");
  } catch (error) {
    throw new StockError("no stock: 日本", { cause: error });
  }
}

const server = http.createServer((request, response) => {
  const url = new URL(request.url, "http://shop");
  Sentry.setUser({ id: "7", email: "bob@example.com", username: "bob" });
  if (url.pathname === "/pay") {
    Sentry.addBreadcrumb({ category: "cart", message: "opened cart für Zoë", level: "info", data: { n: 3 } });
    try {
      pay();
    } catch (error) {
      Sentry.captureException(error, { tags: { plan: "pro" }, extra: { total: 9.75, big: 9007199254740991, lines: [{ sku: "tea" }] } });
    }
    response.statusCode = 500;
  } else {
    Sentry.startSpan({ name: "select stock", op: "db.query", attributes: { "db.rows": 3, "db.cached": false } }, () => {});
    Sentry.logger.warn(Sentry.logger.fmt`the cart of ${"Zoë"} is odd`, { total: 9.75, n: 3, vip: true });
    Sentry.metrics.count("carts", 2, { attributes: { plan: "pro" } });
    Sentry.captureMessage("cart is odd", "warning");
    Sentry.withScope((scope) => {
      scope.addAttachment({ filename: "cart.bin", data: new Uint8Array([...Array(256).keys()]) });
      scope.addAttachment({ filename: "cart é.txt", data: "Zoë's cart\n{}\n", contentType: "text/plain" });
      Sentry.captureException("only a text");
    });
    Sentry.captureFeedback({ message: "I like tea", name: "Zoë", email: "zoe@example.com" });
  }
  response.end("ok");
});

server.listen(0, "127.0.0.1", async () => {
  const base = `http://127.0.0.1:${server.address().port}`;
  const headers = { "X-Request-ID": "req-node-1", "User-Agent": "shopper/1.0" };
  await (await fetch(`${base}/pay?m=mk1&q=h%C3%A9`, { headers })).text();
  await (await fetch(`${base}/fine`, { headers })).text();
  Sentry.withMonitor("nightly", () => {}, { schedule: { type: "interval", value: 1, unit: "hour" } });
  // Long enough that the SDK packs it.
  Sentry.captureException(new Error("long"), { extra: { long: "é".repeat(60000) } });
  await Sentry.flush(20000);
  await Sentry.close(20000);
  server.close();
  process.exit(0);
});
