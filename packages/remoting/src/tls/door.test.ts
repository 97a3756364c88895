/** Hostile and slow peers at a port that takes TLS: each costs its own connection, and everything that it held is given back. */
import { type Logger, silentLogger } from '@dledger-ts/base'
import fc from 'fast-check'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { afterEach, describe, expect, it } from 'vitest'
import { serverKeys } from '../testing/certificates.ts'
import { ManualClock } from '../testing/manual-clock.ts'
import { rawClient, until } from '../testing/pair.ts'
import type { DoorLimits } from './door.ts'
import { Door } from './door.ts'
import type { TlsServerKeys } from './keys.ts'
import { Tls } from './tls.ts'

const owned: (() => unknown)[] = []
afterEach(async () => {
  for (const close of owned.splice(0).reverse()) await close()
})

async function openDoor(keys: Partial<TlsServerKeys> = {}, limits: Partial<DoorLimits> = {}) {
  const clock = new ManualClock()
  const told: string[] = []
  const logger: Logger = { ...silentLogger, warn: (_fields, event) => void told.push(event) }
  const accepted: Socket[] = []
  const given: string[] = []
  const tls = new Tls({ server: serverKeys(keys), client: null, clock, logger, limits })
  const door = tls.sockets.createServer((socket) => {
    socket.on('error', () => {})
    socket.on('data', (chunk: Buffer) => {
      given.push(chunk.toString('latin1'))
      socket.write(chunk)
    })
    accepted.push(socket)
  }) as Door
  door.listen(0, '127.0.0.1')
  await once(door, 'listening')
  owned.push(() => {
    for (const socket of accepted) socket.destroy()
    door.close()
  })
  const address = door.address()
  return {
    door,
    clock,
    told,
    accepted,
    given,
    port: typeof address === 'object' && address !== null ? address.port : 0,
  }
}

/** The first bytes of a client that means it. */
async function clientHello(): Promise<Buffer> {
  const { port, door } = await openDoor()
  const chunks: Buffer[] = []
  door.removeAllListeners('connection')
  door.on('connection', (socket) => socket.on('error', () => {}).on('data', (chunk) => chunks.push(chunk)))
  const socket = connectTls({ host: '127.0.0.1', port, rejectUnauthorized: false })
  socket.on('error', () => {})
  await until(() => chunks.length > 0)
  socket.destroy()
  return Buffer.concat(chunks)
}

async function echoOverTls(port: number): Promise<string> {
  const socket = connectTls({ host: '127.0.0.1', port, rejectUnauthorized: false })
  await once(socket, 'secureConnect')
  socket.write('ping')
  const [chunk] = (await once(socket, 'data')) as [Buffer]
  socket.destroy()
  return chunk.toString()
}

describe('who does not go on', () => {
  it('is closed when it says nothing at all', async () => {
    const { door, clock, port, accepted } = await openDoor()
    const silent = await rawClient(port)
    await until(() => door.waitingCount === 1)
    clock.advance(119_999)
    expect(door.waitingCount).toBe(1)
    clock.advance(1)
    await silent.closed
    expect(door.waitingCount).toBe(0)
    expect(clock.timerCount).toBe(0)
    expect(accepted).toEqual([])
  })

  it.each([1, 5, 40])('is closed when its handshake ends after %i bytes', async (bytes) => {
    const hello = await clientHello()
    const { door, clock, port, told } = await openDoor()
    const silent = await rawClient(port)
    silent.socket.write(hello.subarray(0, bytes))
    await until(() => clock.timerCount === 1 && door.waitingCount === 1 && silent.socket.bytesWritten === bytes)
    // It has the short limit once the first byte was seen.
    while (door.waitingCount === 1) {
      clock.advance(10_000)
      await new Promise((resolve) => setImmediate(resolve))
    }
    await silent.closed
    expect(told).toEqual(['closed a connection whose TLS handshake does not end'])
    expect(clock.timerCount).toBe(0)
  })

  it('is closed when it sends a byte now and then', async () => {
    const hello = await clientHello()
    const { door, clock, port } = await openDoor()
    const dripping = await rawClient(port)
    dripping.socket.write(hello.subarray(0, 1))
    await until(() => door.waitingCount === 1)
    for (let i = 1; door.waitingCount === 1; i++) {
      expect(i).toBeLessThan(30)
      dripping.socket.write(hello.subarray(i, i + 1))
      await new Promise((resolve) => setTimeout(resolve, 5))
      clock.advance(1_000)
    }
    await dripping.closed
  })

  it('is forgotten when it hangs up', async () => {
    const { door, clock, port } = await openDoor()
    for (const bytes of [Buffer.alloc(0), Buffer.of(0x16), (await clientHello()).subarray(0, 60)]) {
      const hasty = await rawClient(port)
      await until(() => door.waitingCount === 1)
      hasty.socket.end(bytes)
      await until(() => door.waitingCount === 0)
    }
    expect(clock.timerCount).toBe(0)
  })

  it('leaves room for no more than the limit, and others are let in again once it is gone', async () => {
    const { door, port, told } = await openDoor({}, { waitingMax: 2 })
    const silent = [await rawClient(port), await rawClient(port)]
    await until(() => door.waitingCount === 2)
    const late = await rawClient(port)
    await late.closed
    expect(told).toEqual(['refused a connection: too many have not said yet what they are'])
    for (const { socket } of silent) socket.destroy()
    await until(() => door.waitingCount === 0)
    expect(await echoOverTls(port)).toBe('ping')
  })

  it('does not keep the door from closing', async () => {
    const { door, clock, port } = await openDoor()
    await rawClient(port)
    const shaking = await rawClient(port)
    shaking.socket.write(Buffer.of(0x16))
    await until(() => door.waitingCount === 2)
    await new Promise<void>((resolve) => void door.close(() => resolve()))
    expect(clock.timerCount).toBe(0)
  })
})

describe('many handshakes', () => {
  it('begin one after another, and all of them end well', async () => {
    const { clock, port, told } = await openDoor({ 'tls.server.handshakesPerSecond': 8 })
    let done = 0
    const echoes = Array.from({ length: 4 }, async () => {
      expect(await echoOverTls(port)).toBe('ping')
      done++
    })
    // Without the clock nothing more begins.
    await until(() => done === 1)
    await until(() => clock.timerCount === 4)
    for (let i = 2; i <= 4; i++) {
      expect(done).toBe(i - 1)
      clock.advance(125)
      await until(() => done === i)
    }
    await Promise.all(echoes)
    expect(told).toEqual(['TLS handshakes wait for their turn'])
    await until(() => clock.timerCount === 0)
  })

  it('keep no plain client waiting', async () => {
    const { port, door } = await openDoor({}, { handshakesPerSecond: 1 })
    const hello = await clientHello()
    const shaking = [await rawClient(port), await rawClient(port)]
    for (const { socket } of shaking) socket.write(hello)
    await until(() => door.waitingCount === 2)
    const plain = await rawClient(port)
    plain.socket.write('a')
    await until(() => plain.receivedBytes() === 1)
    for (const { socket } of shaking) socket.destroy()
    await until(() => door.waitingCount === 0)
  })

  it('whose turn does not come in time, or that are too many, are closed', async () => {
    const { port, door, clock, told } = await openDoor({}, { handshakesPerSecond: 1, turnsWaitingMax: 1 })
    const hello = await clientHello()
    const first = await rawClient(port)
    first.socket.write(hello)
    await until(() => first.receivedBytes() > 0)
    const second = await rawClient(port)
    second.socket.write(hello)
    await until(() => told.length === 1)
    const third = await rawClient(port)
    third.socket.write(hello)
    await third.closed
    second.socket.destroy()
    await until(() => door.waitingCount === 1)
    clock.advance(10_000)
    await first.closed
    expect(told).toEqual([
      'TLS handshakes wait for their turn',
      'closed a connection: too many wait for their TLS handshake',
      'closed a connection whose TLS handshake does not end',
    ])
    expect(clock.timerCount).toBe(0)
  })
})

describe('nonsense', () => {
  it('after the first byte of a handshake closes that connection only', async () => {
    const hello = await clientHello()
    const { door, clock, port, accepted } = await openDoor(
      { 'tls.server.need.client.auth': 'require' },
      { handshakesPerSecond: 100_000 },
    )
    const mutated = fc.array(fc.tuple(fc.nat(hello.length - 2), fc.nat(255)), { maxLength: 8 }).map((changes) => {
      const bytes = Buffer.from(hello)
      for (const [at, value] of changes) bytes[at + 1] = value
      return bytes
    })
    const bytes = fc.oneof(
      mutated,
      fc.uint8Array({ maxLength: 2_000 }).map((rest) => Buffer.concat([Buffer.of(0x16), rest])),
      fc
        .uint8Array({ maxLength: 600 })
        .map((rest) => Buffer.concat([Buffer.of(0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3), rest])),
      fc.uint8Array({ maxLength: 2_000 }).map((rest) => Buffer.concat([hello, rest])),
    )
    await fc.assert(
      fc.asyncProperty(bytes, fc.array(fc.nat(2_000), { maxLength: 3 }), async (all, cuts) => {
        const socket = connect({ host: '127.0.0.1', port })
        socket.on('error', () => {}).resume()
        const closed = once(socket, 'close')
        let from = 0
        for (const cut of cuts.toSorted((a, b) => a - b)) {
          if (!socket.destroyed) socket.write(all.subarray(from, cut))
          from = Math.max(from, cut)
          await new Promise((resolve) => setImmediate(resolve))
        }
        if (!socket.destroyed) socket.end(all.subarray(from))
        await closed
      }),
      { numRuns: 300 },
    )
    await until(() => door.waitingCount === 0)
    expect(accepted).toEqual([])
    expect(clock.timerCount).toBe(0)
  })

  it('of any kind is what it was to a plain port', async () => {
    const { door, port, accepted } = await openDoor()
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 3_000 }), async (all) => {
        fc.pre(all[0] !== 0x16)
        const peer = await rawClient(port)
        peer.socket.end(all)
        await peer.closed
        expect(Buffer.compare(peer.received(), all)).toBe(0)
      }),
      { numRuns: 50 },
    )
    expect(accepted.length).toBeGreaterThan(0)
    expect(door.waitingCount).toBe(0)
  })

  it('is handed over with the connection, before anything else happens', async () => {
    const { door, port, given } = await openDoor()
    const order: string[][] = []
    door.on('connection', (socket) => {
      socket.prependOnceListener('data', () => {
        order.push([...given])
        process.nextTick(() => order.push([...given]))
      })
    })
    const peer = await rawClient(port)
    peer.socket.write('a')
    await until(() => peer.receivedBytes() === 1)
    peer.socket.write('b')
    await until(() => peer.receivedBytes() === 2)
    expect(order).toEqual([[], ['a']])
    expect(given).toEqual(['a', 'b'])
  })

  it('and a plain client is closed without a word where TLS is enforced', async () => {
    const { door, port, accepted, told } = await openDoor({ 'tls.server.mode': 'enforcing' })
    const plain = await rawClient(port)
    plain.socket.write('GET / HTTP/1.1\r\n\r\n')
    await plain.closed
    expect(plain.received()).toHaveLength(0)
    expect(told).toEqual(['closed a connection without TLS: tls.server.mode is enforcing'])
    expect(await echoOverTls(port)).toBe('ping')
    expect(accepted).toHaveLength(1)
    expect(door.waitingCount).toBe(0)
  })
})
