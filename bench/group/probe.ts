/**
 * Loaded into a broker before its program (`NODE_OPTIONS=--import`): tells over a Unix socket what only the process itself knows.
 *
 *   {"ask":"allocations"}                       what was allocated since it was asked before
 *   {"ask":"stalls"}                            the longest stalls of the event loop since it was asked before, and what they went to
 *   {"ask":"profile","seconds":5,"file":"…"}    a CPU profile, written to the file
 *
 * In any other program it does nothing. It costs a few microseconds for each garbage collection.
 */
import { writeFileSync } from 'node:fs'
import { Session } from 'node:inspector'
import { createServer, type Socket } from 'node:net'
import { createInterface } from 'node:readline'
import { GCProfiler, getHeapStatistics } from 'node:v8'
import { type Allocated, probeSocket, type ProbeWish } from './probe-client.ts'
import { StallLog } from './stall-log.ts'

/** It wakes the process all the time: only from when it is asked for the first time. */
let stallLog: StallLog | null = null

function listen(at: string): void {
  const allocations = new Allocations()
  const server = createServer((socket) => {
    createInterface({ input: socket }).on('line', (line) => answer(JSON.parse(line) as ProbeWish, allocations, socket))
  })
  server.listen(probeSocket(at, process.pid))
  server.unref()
}

function answer(wish: ProbeWish, allocations: Allocations, socket: Socket): void {
  const say = (value: unknown): void => void socket.write(`${JSON.stringify(value)}\n`)
  if (wish.ask === 'allocations') say(allocations.take())
  else if (wish.ask === 'stalls') say((stallLog ??= new StallLog()).take())
  else profile(wish.seconds, wish.file, () => say({ file: wish.file }))
}

/**
 * Between two collections the heap only grows by what is allocated, and V8 tells its size before and after each: the sum of what it grew by
 * is what was allocated, to the byte but for the page that is being filled.
 */
class Allocations {
  #profiler = new GCProfiler()
  #heapBytes = getHeapStatistics().used_heap_size

  constructor() {
    this.#profiler.start()
  }

  take(): Allocated {
    const { statistics } = this.#profiler.stop()
    let [heapBytes, gcMicros, last] = [0, 0, this.#heapBytes]
    for (const { beforeGC, afterGC, cost } of statistics) {
      heapBytes += beforeGC.heapStatistics.usedHeapSize - last
      gcMicros += cost
      last = afterGC.heapStatistics.usedHeapSize
    }
    this.#profiler = new GCProfiler()
    this.#heapBytes = getHeapStatistics().used_heap_size
    this.#profiler.start()
    return { heapBytes: heapBytes + this.#heapBytes - last, gcMicros, collections: statistics.length }
  }
}

function profile(seconds: number, file: string, done: () => void): void {
  const session = new Session()
  session.connect()
  session.post('Profiler.enable')
  session.post('Profiler.setSamplingInterval', { interval: 200 })
  session.post('Profiler.start')
  setTimeout(() => {
    session.post('Profiler.stop', (error, result) => {
      if (error !== null) console.error(error)
      else writeFileSync(file, JSON.stringify(result.profile))
      session.disconnect()
      done()
    })
  }, seconds * 1_000)
}

const directory = process.env['BENCH_PROBE_DIR']
if (directory !== undefined && /mqbroker(\.js)?$/.test(process.argv[1] ?? '')) listen(directory)
