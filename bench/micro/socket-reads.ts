/**
 * What reading a socket costs a server: requests of a size that are answered with 40 bytes, read as a stream of Node.js reads and into
 * one buffer. `node bench/dist/micro/socket-reads.js [bytes] [in flight] [rounds]`.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { fileURLToPath } from 'node:url'
import { createPassingServer, onBytes } from '@dledger-ts/base'

const ANSWER_BYTES = 40
const WARMUP_MS = 2_000
const MEASURED_MS = 4_000
const WAYS = ['stream', 'one buffer'] as const

type Way = (typeof WAYS)[number]

interface Figures {
  readonly cpuMicros: number
  readonly rssMiB: number
}

/** The server, in a process of its own: tells its port, and its figures whenever it is asked. */
function serve(way: Way, requestBytes: number): void {
  const answer = Buffer.alloc(ANSWER_BYTES)
  const accepted = (socket: Socket): void => {
    let received = 0
    socket.setNoDelay(true)
    socket.on('error', () => {})
    onBytes(socket, (bytes) => {
      for (received += bytes.length; received >= requestBytes; received -= requestBytes) socket.write(answer)
    })
  }
  const server = way === 'stream' ? createServer(accepted) : createPassingServer(accepted)
  server.listen(0, '127.0.0.1', () => process.send?.((server.address() as AddressInfo).port))
  process.on('message', () => {
    const { user, system } = process.cpuUsage()
    const figures: Figures = { cpuMicros: user + system, rssMiB: process.memoryUsage.rss() / 2 ** 20 }
    process.send?.(figures)
  })
}

async function figuresOf(server: ChildProcess): Promise<Figures> {
  const told = once(server, 'message') as Promise<[Figures]>
  server.send('figures')
  return (await told)[0]
}

async function measure(way: Way, requestBytes: number, inFlight: number): Promise<string> {
  const server = fork(fileURLToPath(import.meta.url), ['serve', way, String(requestBytes)])
  const [port] = (await once(server, 'message')) as [number]
  const socket = connect({ host: '127.0.0.1', port })
  socket.setNoDelay(true)
  const request = Buffer.alloc(requestBytes)
  let received = 0
  let answers = 0
  socket.on('data', (bytes: Buffer) => {
    for (received += bytes.length; received >= ANSWER_BYTES; received -= ANSWER_BYTES) {
      answers++
      socket.write(request)
    }
  })
  for (let i = 0; i < inFlight; i++) socket.write(request)
  await pause(WARMUP_MS)
  const [before, answersBefore] = [await figuresOf(server), answers]
  await pause(MEASURED_MS)
  const after = await figuresOf(server)
  const count = answers - answersBefore
  socket.destroy()
  server.kill()
  await once(server, 'exit')
  const micros = (after.cpuMicros - before.cpuMicros) / count
  return `${way}: ${micros.toFixed(1)} µs of CPU for each, ${Math.round((count * 1_000) / MEASURED_MS)} a second, ${Math.round(after.rssMiB)} MiB`
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

const [first, ...rest] = process.argv.slice(2)
if (first === 'serve') {
  serve(rest[0] as Way, Number(rest[1]))
} else {
  const [bytes, inFlight, rounds] = [Number(first ?? 1_100), Number(rest[0] ?? 1), Number(rest[1] ?? 2)]
  console.log(`${bytes} bytes, ${inFlight} in flight`)
  for (let round = 0; round < rounds; round++) {
    for (const way of WAYS) console.log(await measure(way, bytes, inFlight))
  }
}
