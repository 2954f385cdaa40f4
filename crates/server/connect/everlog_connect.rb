# frozen_string_literal: true

# Connects a Ruby application with Everlog: one event for each request, and any other that it sends.
#
# Written by `everlog init`; it needs nothing but the standard library. Nothing here waits for the network or raises into
# the application: events go into a bounded queue, and one thread sends them. What it could not send it sends again under
# the same ids, so that each event is kept once. When the queue is full, new events are dropped, and how many is told in
# the next event.
#
#     EverlogConnect.log("order_placed", user: "alice", order: { id: 17 })
#
# EVERLOG_URL and EVERLOG_TOKEN say where the server is, when it is not on this machine.

require "json"
require "net/http"
require "securerandom"
require "time"
require "uri"

module EverlogConnect
  LOG = "default"
  URL = "http://127.0.0.1:7171"

  EVENTS_MAX = 10_000
  AGAIN = [408, 429, 500, 502, 503, 504].freeze

  @lock = Mutex.new
  @idle = ConditionVariable.new
  @queue = []
  @sending = false
  @dropped = 0

  class << self
    # Sends one event: its name, and whatever belongs to it.
    def log(event, level: "info", **fields)
      put({ event: event, level: level }.merge(fields))
    end

    # Takes an event, or drops and counts it. True when it was taken.
    def put(event)
      line = JSON.generate({ id: SecureRandom.uuid, timestamp: now }.merge(event))
      @lock.synchronize do
        start
        if @queue.size >= EVENTS_MAX
          @dropped += 1
          return false
        end
        @queue << line
        @wake.signal
      end
      true
    rescue StandardError => e
      complain("an event could not be taken: #{e.message}")
      false
    end

    # Waits until all is sent, at most so long. True when it is.
    def flush(seconds = 10)
      deadline = clock + seconds
      @lock.synchronize do
        until @queue.empty? && !@sending
          rest = deadline - clock
          return false if rest <= 0

          @idle.wait(@lock, rest)
        end
      end
      true
    end

    def complain(text)
      # Once a minute.
      return if @complained && clock - @complained < 60

      @complained = clock
      warn("everlog_connect: #{text}")
    end

    def clock
      Process.clock_gettime(Process::CLOCK_MONOTONIC)
    end

    private

    def now
      Time.now.utc.iso8601(6)
    end

    # Starts the thread, again in the child of a fork: threads do not live on there, and what is queued is the parent's.
    def start
      return if @process == Process.pid

      unless @process
        at_exit { flush(3) }
      end
      @queue.clear
      @sending = false
      @process = Process.pid
      @wake = ConditionVariable.new
      @http = nil
      Thread.new { loop { send_next } }
    end

    def send_next
      lines = @lock.synchronize do
        @wake.wait(@lock) while @queue.empty?
        @sending = true
        taken = @queue.shift(1000)
        taken << told(@dropped) if @dropped.positive?
        @dropped = 0
        taken
      end
      deliver(lines.join("\n"))
    rescue StandardError => e
      complain("events are lost: #{e.message}")
    ensure
      @lock.synchronize do
        @sending = false
        @idle.broadcast
      end
    end

    def told(count)
      JSON.generate(id: SecureRandom.uuid, timestamp: now, level: "warning", event: "events_dropped",
                    source: "everlog_connect", dropped: count,
                    message: "#{count} events were dropped: the queue was full")
    end

    def deliver(body)
      pause = 0.1
      loop do
        status, answer = begin
          post(body)
        rescue StandardError => e
          @http = nil
          [503, e.message]
        end
        if status.between?(200, 299)
          refused = JSON.parse(answer)["refused"] || []
          complain("Everlog refused #{refused.size} events: #{refused.first["detail"]}") unless refused.empty?
          return
        end
        return complain("Everlog refused events with status #{status}: #{answer}") unless AGAIN.include?(status)

        complain("Everlog cannot be reached, events wait: #{answer}")
        sleep(pause * rand(0.5..1.0))
        pause = [pause * 2, 15].min
      end
    end

    def post(body)
      base = URI((ENV["EVERLOG_URL"] || URL).chomp("/"))
      unless @http
        @http = Net::HTTP.new(base.host, base.port, nil)
        @http.use_ssl = base.scheme == "https"
        @http.open_timeout = 10
        @http.read_timeout = 30
        @http.keep_alive_timeout = 20
        @http.start
      end
      request = Net::HTTP::Post.new("#{base.path}/api/v1/logs/#{LOG}/events", "Content-Type" => "application/x-ndjson")
      request["Authorization"] = "Bearer #{ENV["EVERLOG_TOKEN"]}" if ENV["EVERLOG_TOKEN"]
      answer = @http.request(request, body)
      [answer.code.to_i, answer.body.to_s]
    end
  end

  # A Rack middleware: an event for each request. The time is that until the answer begins.
  class Middleware
    def initialize(app)
      @app = app
    end

    def call(env)
      start = EverlogConnect.clock
      answer = @app.call(env)
      note(env, answer[0], start, nil)
      answer
    rescue StandardError => e
      note(env, 500, start, e)
      raise
    end

    private

    def note(env, status, start, error)
      path = "#{env["SCRIPT_NAME"]}#{env["PATH_INFO"]}"
      event = {
        event: "request_finished", level: status.to_i >= 500 ? "error" : "info",
        message: "#{env["REQUEST_METHOD"]} #{path} #{status}",
        method: env["REQUEST_METHOD"], path: path, status: status.to_i,
        duration_ms: ((EverlogConnect.clock - start) * 1000).round(3),
        request_id: env["action_dispatch.request_id"] || env["HTTP_X_REQUEST_ID"] || SecureRandom.uuid,
        ip: env["REMOTE_ADDR"], user_agent: env["HTTP_USER_AGENT"]
      }
      event[:user] = env["REMOTE_USER"] if env["REMOTE_USER"]
      event[:exception] = exception(error) if error
      EverlogConnect.put(event)
    rescue StandardError => e
      EverlogConnect.complain("a request could not be noted: #{e.message}")
    end

    def exception(error)
      frames = (error.backtrace_locations || []).first(50).reverse.map do |frame|
        { function: frame.label, file: frame.path, line: frame.lineno }
      end
      { type: error.class.name, message: error.message, handled: false, frames: frames }
    end
  end
end
