/** The driver when what surrounds it misbehaves: callbacks that throw or close, slow and failing disks, starts that fail. */
import { type Clock, silentLogger, systemClock, systemRandom } from '@dledger-ts/base'
import { afterEach, describe, expect, test } from 'vitest'
import { bareEnvelope, BatchBuilder } from './batch-builder.ts'
import { DEFAULT_SETTINGS, type NodeSettings } from '../config.ts'
import type { Disk, DiskCallback, DiskFile } from '../disk/disk.ts'
import { MemoryDisk } from '../disk/memory-disk.ts'
import type { DLedgerError } from '../errors.ts'
import { HardStateFile } from '../hard-state/hard-state-file.ts'
import { chainCrcAt } from '../log/entry-codec.ts'
import { openLog } from '../log/log-fixture.ts'
import { type LogMark, LogWriter } from './log-writer.ts'
import { LogNode } from './node.ts'
import type { Ticker } from './ticker.ts'
import type { LogNodeOptions } from './node-options.ts'
import type { Message } from '../raft/messages.ts'
import type { CommittedEntry, Proposal, StateMachine } from '../state-machine.ts'
import { LoneTransport } from '../transport/lone.ts'
import type { Hello, Transport, TransportHandler } from '../transport/transport.ts'

/** A disk whose reads, writes and syncs can be kept waiting. */
class GatedDisk implements Disk {
  readonly memory: Disk = new MemoryDisk()
  holdsWrites = false
  holdsSyncs = false
  holdsHardState = false
  holdsReads = false
  #held: (() => void)[] = []
  syncs = 0

  release(): void {
    this.holdsWrites = false
    this.holdsSyncs = false
    this.holdsHardState = false
    this.holdsReads = false
    this.releaseOnce()
  }

  /** Lets go what is held, and holds what follows. */
  releaseOnce(): void {
    const held = this.#held
    this.#held = []
    for (const operation of held) operation()
  }

  get heldCount(): number {
    return this.#held.length
  }

  openSync(path: string, options: { readonly create: boolean; readonly readOnly?: boolean }): DiskFile {
    const file = this.memory.openSync(path, options)
    const gate = (holds: () => boolean, operation: () => void): void => {
      const isHeld = path.includes('/data/') ? holds() : this.holdsHardState && path.endsWith('/hard-state')
      if (isHeld) this.#held.push(operation)
      else operation()
    }
    return {
      path,
      write: (buffers, at, callback) =>
        gate(
          () => this.holdsWrites,
          () => file.write(buffers, at, callback),
        ),
      read: (target, at, callback) =>
        gate(
          () => this.holdsReads,
          () => file.read(target, at, callback),
        ),
      sync: (callback: DiskCallback) => {
        this.syncs++
        gate(
          () => this.holdsSyncs,
          () => file.sync(callback),
        )
      },
      writeSync: (bytes, at) => file.writeSync(bytes, at),
      readSync: (target, at) => file.readSync(target, at),
      syncSync: () => file.syncSync(),
      sizeSync: () => file.sizeSync(),
      modifiedMsSync: () => file.modifiedMsSync(),
      truncateSync: (size) => file.truncateSync(size),
      closeSync: () => file.closeSync(),
    }
  }

  existsSync = (path: string): boolean => this.memory.existsSync(path)
  listSync = (directory: string): string[] => this.memory.listSync(directory)
  makeDirectorySync = (directory: string): void => this.memory.makeDirectorySync(directory)
  removeSync = (path: string): void => this.memory.removeSync(path)
  renameSync = (from: string, to: string): void => this.memory.renameSync(from, to)
  freeBytesSync = (): number => Number.POSITIVE_INFINITY
  usedPercentSync = (): number => 0
  syncDirectorySync = (directory: string): void => this.memory.syncDirectorySync(directory)
  createExclusiveSync = (path: string, content: string): string | null => this.memory.createExclusiveSync(path, content)
}

/** Hears what it is told to hear and remembers what was sent. */
class PuppetTransport implements Transport {
  handler!: TransportHandler
  readonly sent: Message[] = []
  closes = 0
  startFails: Error | null = null

  start(_hello: Hello, handler: TransportHandler, callback: (error: Error | null) => void): void {
    if (this.startFails !== null) throw this.startFails
    this.handler = handler
    systemClock.defer(() => callback(null))
  }

  send(message: Message): void {
    this.sent.push(message)
  }

  setPeers(): void {}

  renew(): void {}

  queuedBytes(): number {
    return 0
  }

  close(callback: () => void): void {
    this.closes++
    systemClock.defer(callback)
  }
}

const machine: StateMachine = {
  appliedIndex: -1,
  discard() {},
  apply() {},
  roleChanged() {},
  durable() {},
}

const small: NodeSettings = {
  ...DEFAULT_SETTINGS,
  fileBytes: 64 * 1024,
  indexFileBytes: 32 * 1024,
  zeroFillBytes: 0,
  tickMs: 10,
  heartbeatMs: 20,
  electionTimeoutMs: 500,
}

interface Started {
  readonly node: LogNode
  readonly fatal: Error[]
}

const escaped: unknown[] = []
const onEscaped = (error: unknown): void => void escaped.push(error)
process.on('uncaughtException', onEscaped)
afterEach(() => {
  expect(escaped.splice(0)).toEqual([])
})

async function start(options: Partial<LogNodeOptions> = {}): Promise<Started> {
  const fatal: Error[] = []
  const node = new LogNode({
    clock: systemClock,
    random: systemRandom,
    disk: new MemoryDisk(),
    transport: new LoneTransport(systemClock),
    logger: silentLogger,
    directory: '/n0',
    group: 'g',
    self: 'n0',
    bootstrapVoters: ['n0'],
    settings: small,
    stateMachine: null,
    controlEnvelope: bareEnvelope,
    advertised: '',
    owner: { pid: 1, processStart: '1', bootId: 'boot 1', isAlive: () => true },
    newStoreId: () => 'store of n0',
    onFatal: (error) => void fatal.push(error),
    ...options,
  })
  await new Promise<void>((resolve, reject) => node.start((error) => (error === null ? resolve() : reject(error))))
  return { node, fatal }
}

async function until(what: string, condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 10_000
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`never: ${what}`)
    await new Promise((resolve) => setImmediate(resolve))
  }
}

const close = (node: LogNode): Promise<Error | null> => new Promise((resolve) => node.close(resolve))
const ready = (node: LogNode): Promise<void> =>
  until('ready', () => node.role.ready && node.appliedIndex === node.status.lastIndex)

function proposal(outcomes: string[], name: string, over: Partial<Proposal> = {}): Proposal {
  return {
    bodyBytes: 4,
    encodeBody: (target, at) => void target.write(name.padEnd(4), at),
    committed: () => void outcomes.push(`${name} committed`),
    failed: (error: DLedgerError) => void outcomes.push(`${name} ${error.code}`),
    ...over,
  }
}

const oops = (): never => {
  throw new Error('oops')
}

describe('each proposal is told its outcome once', () => {
  test('also the others, when a body cannot be encoded', async () => {
    const { node, fatal } = await start()
    await ready(node)
    const outcomes: string[] = []
    node.propose(proposal(outcomes, 'a'))
    node.propose(proposal(outcomes, 'huge', { bodyBytes: 1 << 20 }))
    node.propose(proposal(outcomes, 'bad', { encodeBody: oops }))
    node.propose(proposal(outcomes, 'b'))
    await until('it stops', () => fatal.length > 0)
    expect(outcomes.sort()).toEqual(['a TIMEOUT', 'b CLOSED', 'bad TIMEOUT', 'huge CLOSED'])
    await close(node)
  })

  test('also the others, when one throws on being told', async () => {
    const gate = new GatedDisk()
    const { node, fatal } = await start({ disk: gate })
    await ready(node)
    const outcomes: string[] = []
    gate.holdsSyncs = true
    for (const name of ['a', 'b', 'c']) node.propose(proposal(outcomes, name, name === 'b' ? { failed: oops } : {}))
    await until('they are written', () => gate.heldCount > 0)
    for (const name of ['d', 'e', 'f']) node.propose(proposal(outcomes, name, name === 'e' ? { failed: oops } : {}))
    const closing = close(node)
    await until('it stops', () => fatal.length > 0)
    gate.release()
    await closing
    expect(outcomes.sort()).toEqual(['a TIMEOUT', 'c TIMEOUT', 'd CLOSED', 'f CLOSED'])
  })

  test('also those behind one that closes the log when it is refused', async () => {
    const { node, fatal } = await start()
    await ready(node)
    const outcomes: string[] = []
    let closing: Promise<Error | null> | null = null
    node.propose(
      proposal(outcomes, 'bad', {
        encodeBody: () => {
          closing = close(node)
        },
      }),
    )
    for (let i = 0; i < 3000; i++) node.propose(proposal(outcomes, String(i)))
    await until('it is closing', () => closing !== null)
    // oxlint-disable-next-line typescript/await-thenable -- set by a callback, which the checker cannot see
    expect(await closing).toBeNull()
    expect(fatal).toEqual([])
    expect(outcomes).toHaveLength(3001)
  })

  test('at once, where a slow disk keeps this member from being a leader', async () => {
    const gate = new GatedDisk()
    const transport = new PuppetTransport()
    const { node } = await start({ disk: gate, transport, bootstrapVoters: ['n0', 'n1', 'n2'] })
    await lead(transport, 1)
    transport.handler.message(entries(1, 0, ['a', 'b', 'c']), entriesBytes(1, ['a', 'b', 'c']))
    await until('they are synced', () =>
      transport.sent.some((m) => m.type === 'AppendEntriesResponse' && m.matchIndex === 2),
    )
    gate.holdsSyncs = true
    transport.handler.message(entries(1, 3, ['d']), entriesBytes(1, ['a', 'b', 'c', 'd'], 3))
    await until('a sync hangs', () => gate.heldCount > 0)
    await lead(transport, 2)
    transport.handler.message(entries(2, 1, ['x'], 1), entriesBytes(2, ['a', 'x'], 1))
    const outcomes: string[] = []
    node.propose(proposal(outcomes, 'p'))
    await until('it is refused', () => outcomes.length > 0)
    expect(outcomes).toEqual(['p NOT_LEADER'])
    gate.release()
    expect(await close(node)).toBeNull()
  })
})

test('entries of a term go to the log when the term is on the disk, not before', async () => {
  const gate = new GatedDisk()
  const transport = new PuppetTransport()
  const { node } = await start({ disk: gate, transport, bootstrapVoters: ['n0', 'n1', 'n2'] })
  gate.holdsHardState = true
  transport.handler.message(entries(1, 0, ['a']), entriesBytes(1, ['a']))
  transport.handler.message(entries(1, 0, ['a']), entriesBytes(1, ['a']))
  await until('its term is being written', () => gate.heldCount > 0)
  expect(node.status).toMatchObject({ term: 1, lastIndex: -1 })
  expect(transport.sent.filter((m) => m.type === 'AppendEntriesResponse')).toEqual([])
  gate.release()
  await lead(transport, 1)
  transport.handler.message(entries(1, 0, ['a']), entriesBytes(1, ['a']))
  expect(node.status.lastIndex).toBe(0)
  await close(node)
})

/** n1 is the leader of a term: no entry of it is taken before the term is on the disk. */
async function lead(transport: PuppetTransport, term: number): Promise<void> {
  transport.handler.message(entries(term, 0, [], 0), null)
  await until('it is followed', () => transport.sent.some((m) => m.type === 'AppendEntriesResponse' && m.term === term))
}

/** The bytes of a log of entries of one body each, from entry `from` on; those before it are of term 1. */
function entriesBytes(term: number, bodies: readonly string[], from = 0): Buffer {
  let end = { lastIndex: -1, endPos: 0, lastChain: 0, fileBytes: small.fileBytes }
  const parts: Buffer[] = []
  bodies.forEach((body, i) => {
    const builder = new BatchBuilder(end, bareEnvelope)
    const size = 48 + body.length
    const batch = builder.build(i, i < from ? 1 : term, [size], (_, target, at) => void target.write(body, at))
    const chain = chainCrcAt(batch.bytes, 0)
    end = { ...end, lastIndex: i, endPos: (batch.positions[0] as number) + size, lastChain: chain }
    if (i >= from) parts.push(batch.bytes)
  })
  return Buffer.concat(parts)
}

function entries(term: number, first: number, bodies: readonly string[], prevTerm = term): Message {
  return {
    type: 'AppendEntries',
    from: 'n1',
    to: 'n0',
    storeId: 'store of n1',
    term,
    prevIndex: first - 1,
    prevTerm: first === 0 ? 0 : prevTerm,
    count: bodies.length,
    entriesTerm: term,
    bytes: bodies.reduce((sum, body) => sum + 48 + body.length, 0),
    commitIndex: -1,
  }
}

function heartbeat(term: number, commitIndex: number): Message {
  return {
    type: 'Heartbeat',
    from: 'n1',
    to: 'n0',
    storeId: 'store of n1',
    term,
    commitIndex,
    round: 1,
    leaderCommit: commitIndex,
    freshRound: 0,
    freshIncarnation: 0,
  }
}

test('what is called within a pass and tells that a peer is lost begins no pass within it', async () => {
  let aheadMs = 0
  const clock = { ...systemClock, monotonicMs: () => systemClock.monotonicMs() + aheadMs }
  const transport = new PuppetTransport()
  const applied: number[] = []
  const apply = (committed: readonly CommittedEntry[]): void => {
    for (const { index } of committed) applied.push(index)
    // A whole period after the last heartbeat: time is to be lived through.
    aheadMs += small.heartbeatMs
    if (applied.length < 10) transport.handler.peerLost('n2')
  }
  const stateMachine = { ...machine, apply }
  const { node } = await start({ clock, transport, stateMachine, bootstrapVoters: ['n0', 'n1', 'n2'] })
  await lead(transport, 1)
  transport.handler.message(entries(1, 0, ['a', 'b']), entriesBytes(1, ['a', 'b']))
  await until('they are synced', () =>
    transport.sent.some((m) => m.type === 'AppendEntriesResponse' && m.matchIndex === 1),
  )
  for (const commitIndex of [-1, 1]) transport.handler.message(heartbeat(1, commitIndex), null)
  await until('they are applied', () => applied.length > 0)
  expect(await close(node)).toBeNull()
  expect(applied).toEqual([0, 1])
})

test('a follower rides on the heartbeats of its leader alone, hears all else after the time that has passed, and hurries without a leader', async () => {
  let aheadMs = 0
  const clock = { ...systemClock, monotonicMs: () => systemClock.monotonicMs() + aheadMs }
  const transport = new PuppetTransport()
  const calls: string[] = []
  let wake: (periods: number) => void = () => {}
  const wakings = {
    end() {},
    heard: () => void calls.push('heard'),
    ride: (periods: number) => void calls.push(`ride ${periods}`),
    hurry: () => void calls.push('hurry'),
  }
  const ticker: Ticker = {
    every: (_, callback) => {
      wake = callback
      return wakings
    },
  }
  const { node } = await start({ clock, ticker, transport, bootstrapVoters: ['n0', 'n1', 'n2'] })
  await lead(transport, 1)
  await until('it has a leader', () => node.role.leader === 'n1')
  calls.length = 0
  transport.handler.message(heartbeat(1, -1), null)
  transport.handler.message({ ...heartbeat(1, -1), term: 0 }, null)
  transport.handler.message(entries(1, 0, [], 0), null)
  transport.handler.peerLost('n2')
  expect(calls).toEqual(['ride 4', 'heard', 'heard', 'heard'])
  aheadMs += 3 * small.electionTimeoutMs
  wake(1_000)
  await until('it stands for election', () => node.role.leader === null)
  expect(calls.slice(4)).toContain('hurry')
  expect(await close(node)).toBeNull()
})

describe('what a state machine throws stops the member, and nothing else', () => {
  for (const part of ['apply', 'durable', 'roleChanged'] as const) {
    test(part, async () => {
      const transport = new PuppetTransport()
      const { node, fatal } = await start({ transport, stateMachine: { ...machine, [part]: oops } })
      await until('it stops', () => fatal.length > 0)
      expect(fatal).toHaveLength(1)
      expect(await close(node)).toBeNull()
      expect(transport.closes).toBe(1)
    })
  }

  for (const flushDiskType of ['SYNC_FLUSH', 'ASYNC_FLUSH'] as const) {
    test(`with writes under way, ${flushDiskType}`, async () => {
      let bad = false
      const gate = new GatedDisk()
      const apply = (): void => {
        if (bad) oops()
      }
      const settings = { ...small, flushDiskType, asyncFlushIntervalMs: 1 }
      const { node, fatal } = await start({ disk: gate, settings, stateMachine: { ...machine, apply } })
      await ready(node)
      const outcomes: string[] = []
      bad = true
      node.propose(proposal(outcomes, 'a'))
      if (flushDiskType === 'SYNC_FLUSH') {
        gate.holdsSyncs = true
        await until('a sync is under way', () => gate.heldCount > 0)
        gate.holdsWrites = true
        for (let i = 0; i < 3; i++) {
          node.propose(proposal(outcomes, `w${i}`))
          await new Promise((resolve) => setImmediate(resolve))
        }
        gate.holdsSyncs = false
        const writes = gate.heldCount
        expect(writes).toBeGreaterThan(1)
        node.propose(proposal(outcomes, 'bad', { encodeBody: oops }))
      }
      await until('it stops', () => fatal.length > 0)
      expect(await close(node)).toBeNull()
      gate.release()
      const { syncs } = gate
      await new Promise((resolve) => setTimeout(resolve, 5))
      expect(gate.syncs).toBe(syncs)
    })
  }
})

describe('closing', () => {
  test('is not held up by a leader that goes on sending', async () => {
    const gate = new GatedDisk()
    const transport = new PuppetTransport()
    const { node } = await start({ disk: gate, transport, bootstrapVoters: ['n0', 'n1', 'n2'] })
    let closed = false
    const bodies: string[] = []
    // A write is always under way: each sync lets the next entry in.
    const sendNext = (): void => {
      if (closed || bodies.length >= 300) return
      const at = bodies.length
      bodies.push(`entry ${at}`)
      transport.handler.message(entries(1, at, [bodies[at] as string]), entriesBytes(1, bodies, at))
      setImmediate(sendNext)
    }
    await lead(transport, 1)
    gate.holdsSyncs = true
    sendNext()
    await until('a sync is under way', () => gate.heldCount > 0)
    const closing = close(node).then((error) => {
      closed = true
      return error
    })
    const taken = node.status.lastIndex
    await until('more was sent', () => bodies.length > taken + 20)
    gate.release()
    expect(await closing).toBeNull()
    expect(node.status.lastIndex).toBeLessThan(taken + 3)
  })

  test('is not held up by entries that are still to be applied, nor by who reads on and on', async () => {
    const gate = new GatedDisk()
    const settings = { ...small, hotBytesMax: 0 }
    // Each life has a term of its own: what is applied is read a term at a time.
    for (let lives = 0; lives < 4; lives++) {
      const { node } = await start({ disk: gate, settings })
      await ready(node)
      expect(await close(node)).toBeNull()
    }
    const applied: number[] = []
    const apply = (entries: readonly CommittedEntry[]): void => {
      for (const { index } of entries) applied.push(index)
    }
    gate.holdsReads = true
    const { node } = await start({ disk: gate, settings, stateMachine: { ...machine, apply } })
    await until('entries are read', () => gate.heldCount > 0)
    const closing = close(node)
    const refused = new Promise((resolve) => node.read(0, 0, 1, resolve))
    gate.releaseOnce()
    expect(await closing).toBeNull()
    expect(applied).toEqual([0, 1])
    expect(await refused).toMatchObject({ code: 'CLOSED' })
  })

  test('ends the timers', async () => {
    let timers = 0
    const clock: Clock = {
      ...systemClock,
      after: (delayMs, callback) => {
        timers++
        let over = false
        const cancel = systemClock.after(delayMs, () => {
          over = true
          timers--
          callback()
        })
        return () => {
          if (over) return
          over = true
          timers--
          cancel()
        }
      },
    }
    for (const flushDiskType of ['SYNC_FLUSH', 'ASYNC_FLUSH'] as const) {
      const { node } = await start({ clock, settings: { ...small, flushDiskType, tickMs: 1 } })
      await ready(node)
      expect(await close(node)).toBeNull()
      expect(timers).toBe(0)
    }
  })

  test('ends what is read, and nothing is read afterwards', async () => {
    const { node } = await start({ settings: { ...small, hotBytesMax: 0 } })
    await ready(node)
    const outcomes: string[] = []
    node.propose(proposal(outcomes, 'a'))
    await until('it is committed', () => outcomes.length > 0)
    expect(await close(node)).toBeNull()
    const error = await new Promise((resolve) => node.read(0, 0, 1, resolve))
    expect(error).toMatchObject({ code: 'CLOSED' })
    expect(await new Promise((resolve) => node.readBytes(0, 48, resolve))).toMatchObject({ code: 'CLOSED' })
  })
})

describe('a member that stops', () => {
  test('tells everybody, though a part of it throws on being ended', async () => {
    const endless = { every: () => ({ end: oops, heard() {}, ride() {}, hurry() {} }) }
    const { node, fatal } = await start({ ticker: endless, stateMachine: { ...machine, apply: oops } })
    await until('it stops', () => fatal.length > 0)
    expect(fatal.map(({ message }) => message)).toEqual(['oops'])
    expect(await close(node)).toBeNull()
  })

  test('tells each who waits for a change of the membership, though one throws on being told', async () => {
    const { node } = await start()
    await ready(node)
    const told: string[] = []
    node.changeMembership({ kind: 'add', id: 'n1', address: null, role: 'voter' }, oops)
    node.changeMembership({ kind: 'add', id: 'n2', address: null, role: 'voter' }, (error) => {
      told.push(error?.code ?? 'done')
    })
    await close(node)
    expect(told).toHaveLength(1)
  })
})

describe('a stop', () => {
  test('ends well though its lock file is gone already', async () => {
    const disk = new MemoryDisk()
    const { node } = await start({ disk })
    await ready(node)
    disk.removeSync('/n0/lock')
    expect(await close(node)).toBeNull()
  })
})

describe('a start that fails', () => {
  test('gives the directory free, and a clean stop before it is still one', async () => {
    const disk = new MemoryDisk()
    const settings: NodeSettings = { ...small, flushDiskType: 'ASYNC_FLUSH' }
    const first = await start({ disk, settings })
    await ready(first.node)
    expect(await close(first.node)).toBeNull()
    const transport = new PuppetTransport()
    transport.startFails = new Error('no such port')
    await expect(start({ disk, settings, transport })).rejects.toThrow('no such port')
    expect(disk.listSync('/n0')).not.toContain('lock')
    const afterBoot = { pid: 1, processStart: '2', bootId: 'boot 2', isAlive: () => false }
    const again = await start({ disk, settings, owner: afterBoot })
    expect(await close(again.node)).toBeNull()
    const file = HardStateFile.openSync(disk, '/n0/hard-state')
    expect(file?.state.cleanStop).toBe(true)
  })
})

describe('the log writer', () => {
  test('never calls synced what a truncation removed', async () => {
    const gate = new GatedDisk()
    const log = openLog('/log', { disk: gate })
    const marks: LogMark[] = []
    let flush: (() => void) | null = null
    let written = 0
    const writer = new LogWriter({
      log,
      syncBeforeDurable: false,
      asyncFlushIntervalMs: 1,
      clock: {
        ...systemClock,
        after: (_, callback) => {
          flush = callback
          return () => {}
        },
      },
      faults: new Set(),
      onDurable: () => void written++,
      onSynced: (mark) => void marks.push(mark),
      onHint: () => {},
      beforeTruncate: (_, callback) => callback(),
      hintWaitsForRoom: () => false,
      onIdle: () => {},
      onFailed: (error) => {
        throw error
      },
    })
    const batch = (term: number) =>
      new BatchBuilder(log, bareEnvelope).build(
        log.lastIndex + 1,
        term,
        [52],
        (_, target, at) => void target.fill(term, at),
      )
    for (let i = 0; i < 3; i++) writer.submit(i + 1, null, [batch(1)])
    await until('they are written', () => written === 3)
    gate.holdsWrites = true
    const other = openLog('/other', { disk: new MemoryDisk() })
    const first = new BatchBuilder(other, bareEnvelope).build(0, 1, [52], (_, target, at) => void target.fill(1, at))
    await new Promise<void>((resolve) => other.append(first, () => resolve()))
    const replacing = new BatchBuilder(other, bareEnvelope).build(
      1,
      2,
      [52],
      (_, target, at) => void target.fill(2, at),
    )
    writer.submit(4, 1, [replacing])
    ;(flush as (() => void) | null)?.()
    await new Promise((resolve) => setImmediate(resolve))
    gate.release()
    await until('it is written', () => written === 4)
    ;(flush as (() => void) | null)?.()
    await until('it is synced', () => marks.length > 0)
    expect(marks.map(({ index, chain }) => [index, chain])).toEqual([[1, log.lastChain]])
    log.close()
    other.close()
  })
})
