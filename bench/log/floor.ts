/** What this machine gives to anybody: the rate of fdatasync on a file that has its blocks, and a round trip over loopback. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, fdatasync, mkdtempSync, openSync, rmSync, write, writeSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { percentiles, type Percentiles } from './percentiles.ts'

const FILE_BYTES = 64 * 1024 * 1024
const ROUND_TRIPS = 5_000

/** Writes `bytes` and syncs them, one after the other, for `seconds`. */
export async function syncFloor(bytes: number, seconds: number): Promise<Percentiles> {
  const directory = mkdtempSync(join(tmpdir(), 'bench-floor-'))
  const fd = openSync(join(directory, 'file'), 'w+')
  try {
    const zeros = Buffer.alloc(1024 * 1024)
    for (let at = 0; at < FILE_BYTES; at += zeros.length) writeSync(fd, zeros, 0, zeros.length, at)
    await promisify(fdatasync)(fd)
    const body = Buffer.alloc(bytes, 7)
    const took: number[] = []
    const until = performance.now() + seconds * 1_000
    for (let at = 0; performance.now() < until; at = (at + bytes) % (FILE_BYTES - bytes)) {
      const begun = performance.now()
      await promisify(write)(fd, body, 0, bytes, at)
      await promisify(fdatasync)(fd)
      took.push(performance.now() - begun)
    }
    return percentiles(took)
  } finally {
    closeSync(fd)
    rmSync(directory, { recursive: true, force: true })
  }
}

/** Sends `bytes` to another process, which sends as many back. */
export async function roundTripFloor(bytes: number): Promise<Percentiles> {
  const echo = fork(fileURLToPath(import.meta.url), ['echo'])
  const [port] = (await once(echo, 'message')) as [number]
  const socket = connect({ port, host: '127.0.0.1', noDelay: true })
  await once(socket, 'connect')
  const body = Buffer.alloc(bytes, 7)
  const took: number[] = []
  for (let i = 0; i < ROUND_TRIPS; i++) {
    const begun = performance.now()
    socket.write(body)
    await receive(socket, bytes)
    took.push(performance.now() - begun)
  }
  socket.destroy()
  echo.kill()
  return percentiles(took.slice(ROUND_TRIPS / 10))
}

function receive(socket: Socket, bytes: number): Promise<void> {
  return new Promise((resolve) => {
    let got = 0
    const onData = (data: Buffer): void => {
      got += data.length
      if (got < bytes) return
      socket.off('data', onData)
      resolve()
    }
    socket.on('data', onData)
  })
}

if (process.argv[2] === 'echo' && process.argv[1] === fileURLToPath(import.meta.url)) {
  const server = createServer({ noDelay: true }, (socket) => socket.pipe(socket))
  server.listen(0, '127.0.0.1', () => process.send?.((server.address() as { port: number }).port))
}
