// Connects a Node application with Everlog: one event for each request, and any other that it sends.
//
// Written by `everlog init`; it needs nothing but Node 18 or later. Nothing here waits for the network or throws into the
// application: events go into a bounded queue and are sent in the background. What could not be sent is sent again under
// the same ids, so that each event is kept once. When the queue is full, new events are dropped, and how many is told in
// the next event.
//
//     require('./everlog-connect.cjs').connect(app)                        // Express, before the routes
//     require('./everlog-connect.cjs').log('order_placed', { user: 'alice', order: { id: 17 } })
//
// EVERLOG_URL and EVERLOG_TOKEN say where the server is, when it is not on this machine.
'use strict'

const { randomUUID } = require('node:crypto')
const http = require('node:http')
const https = require('node:https')

const LOG = "default"
const URL_DEFAULT = "http://127.0.0.1:7171"

const EVENTS_MAX = 10000
const BYTES_MAX = 16 << 20
const AGAIN = new Set([408, 429, 500, 502, 503, 504])

const base = (process.env.EVERLOG_URL || URL_DEFAULT).replace(/\/+$/, '')
const target = new URL(`${base}/api/v1/logs/${encodeURIComponent(LOG)}/events`)
const library = target.protocol === 'https:' ? https : http
// A connection that waits for the next events keeps no process alive.
const agent = new library.Agent({ keepAlive: true, maxSockets: 1 })

let queue = []
let bytes = 0
let dropped = 0
let running = false
let complained = 0
let idle = []

function complain(text) {
  // Once a minute.
  if (Date.now() - complained < 60000) return
  complained = Date.now()
  try { process.stderr.write(`everlog-connect: ${text}\n`) } catch { /* nobody listens */ }
}

function put(event) {
  try {
    const whole = { id: randomUUID(), timestamp: new Date().toISOString(), ...event }
    const line = JSON.stringify(whole, (key, value) => (typeof value === 'bigint' ? String(value) : value))
    const size = Buffer.byteLength(line)
    if (queue.length >= EVENTS_MAX || bytes + size > BYTES_MAX) {
      dropped += 1
      return false
    }
    queue.push(line)
    bytes += size
    if (!running) {
      running = true
      setImmediate(run)
    }
    return true
  } catch (error) {
    complain(`an event could not be taken: ${error}`)
    return false
  }
}

async function run() {
  while (queue.length > 0) {
    const lines = []
    let size = 0
    while (lines.length < queue.length && lines.length < 1000 && size < 1 << 20) {
      size += Buffer.byteLength(queue[lines.length])
      lines.push(queue[lines.length])
    }
    queue = queue.slice(lines.length)
    bytes -= size
    if (dropped > 0) {
      const message = `${dropped} events were dropped: the queue was full`
      const told = { level: 'warning', event: 'events_dropped', source: 'everlog-connect', dropped, message }
      lines.push(JSON.stringify({ id: randomUUID(), timestamp: new Date().toISOString(), ...told }))
      dropped = 0
    }
    try { await deliver(Buffer.from(lines.join('\n'))) } catch (error) { complain(`events are lost: ${error}`) }
  }
  running = false
  for (const done of idle) done()
  idle = []
}

async function deliver(body) {
  for (let pause = 100; ; pause = Math.min(pause * 2, 15000)) {
    let answer
    try { answer = await post(body) } catch (error) { answer = { status: 503, text: String(error) } }
    if (answer.status >= 200 && answer.status < 300) {
      const refused = JSON.parse(answer.text).refused || []
      if (refused.length > 0) complain(`Everlog refused ${refused.length} events: ${refused[0].detail}`)
      return
    }
    if (!AGAIN.has(answer.status)) {
      complain(`Everlog refused events with status ${answer.status}: ${answer.text.slice(0, 500)}`)
      return
    }
    complain(`Everlog cannot be reached, events wait: ${answer.text.slice(0, 500)}`)
    // A process that has nothing else to do may end meanwhile.
    await new Promise((resolve) => setTimeout(resolve, pause * (0.5 + Math.random() / 2)).unref())
  }
}

function post(body) {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/x-ndjson', 'content-length': body.length }
    if (process.env.EVERLOG_TOKEN) headers.authorization = `Bearer ${process.env.EVERLOG_TOKEN}`
    const request = library.request(target, { method: 'POST', agent, headers, timeout: 30000 }, (response) => {
      const parts = []
      response.on('data', (part) => parts.push(part))
      response.on('end', () => resolve({ status: response.statusCode, text: Buffer.concat(parts).toString() }))
      response.on('error', reject)
    })
    request.on('timeout', () => request.destroy(new Error('no answer within 30 s')))
    request.on('error', reject)
    request.end(body)
  })
}

// Sends one event: its name, and whatever belongs to it.
function log(event, fields = {}) {
  return put({ level: 'info', event, ...fields })
}

// Resolves when all is sent, to true, or after so many milliseconds, to false.
function flush(milliseconds = 10000) {
  if (!running) return Promise.resolve(true)
  return new Promise((resolve) => {
    const late = setTimeout(() => resolve(false), milliseconds)
    idle.push(() => { clearTimeout(late); resolve(true) })
  })
}

// A middleware for Express, Connect and whatever calls (request, response, next).
function middleware(request, response, next) {
  const start = process.hrtime.bigint()
  const given = request.headers['x-request-id']
  const requestId = typeof given === 'string' && given !== '' ? given.slice(0, 128) : randomUUID()
  const path = String(request.originalUrl || request.url).split('?')[0]
  response.once('close', () => {
    try {
      const status = response.statusCode
      const user = request.user && (request.user.username || request.user.email || request.user.id)
      put({
        level: status >= 500 ? 'error' : 'info',
        event: 'request_finished',
        message: `${request.method} ${path} ${status}`,
        method: request.method,
        path,
        status,
        duration_ms: Number((process.hrtime.bigint() - start) / 1000n) / 1000,
        request_id: requestId,
        ip: request.ip || (request.socket && request.socket.remoteAddress),
        user_agent: request.headers['user-agent'],
        ...(user ? { user: String(user) } : {}),
        ...(response.writableFinished ? {} : { aborted: true }),
      })
    } catch (error) { complain(`a request could not be noted: ${error}`) }
  })
  next()
}

// The same application, with an event for each request. To be called before its routes are added.
function connect(app) {
  app.use(middleware)
  return app
}

module.exports = { connect, flush, log, middleware }
