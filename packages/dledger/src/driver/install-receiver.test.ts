import { silentLogger, systemClock } from '@dledger-ts/base'
import { describe, expect, test } from 'vitest'
import { DEFAULT_SETTINGS } from '../config.ts'
import { MemoryDisk } from '../disk/memory-disk.ts'
import { noRoom } from '../disk/testing/handle-disk.ts'
import { WatchedDisk } from '../disk/watched-disk.ts'
import type { HardState, Incoming } from '../hard-state/hard-state-codec.ts'
import type { InstallAck, InstallOffer, Message } from '../raft/messages.ts'
import type { LostRange, SegmentedLog } from '../log/segmented-log.ts'
import type { Raft } from '../raft/raft.ts'
import { untilSeen } from '../testing/until.ts'
import type { Transport } from '../transport/transport.ts'
import { InstallReceiver } from './install-receiver.ts'
import type { OpenedMember } from './open-member.ts'

const offer: InstallOffer = {
  type: 'InstallOffer',
  from: 'n1',
  to: 'n0',
  storeId: 'store of n1',
  term: 1,
  id: 1,
  firstIndex: 10,
  prevTerm: 1,
  prevEndPos: 64 * 1024,
  prevChain: 7,
  lastIndex: 20,
  lastTerm: 1,
  snapshotIndex: -1,
  snapshotId: '',
  configurationIndex: -1,
  bytes: 0,
  crc: 0,
}

class FailingDisk extends MemoryDisk {
  error: Error | null = null

  override makeDirectorySync(directory: string): void {
    if (this.error !== null) throw this.error
    super.makeDirectorySync(directory)
  }
}

interface Received {
  disk: FailingDisk
  failures: Error[]
  sent: Message[]
  /** What was handed over to take the place of the own log. */
  whole: Incoming[]
  /** What was written into the hard state, in order. */
  writes: Partial<HardState>[]
  /** Ends writes of the hard state; null: they end at once. */
  held: (() => void)[] | null
  durableTerm: number
  /** What the member stands at. */
  at: { blockedFrom: number; commitIndex: number; appliedIndex: number; checkpointIndex: number }
  offered: (change?: Partial<InstallOffer>) => void
}

function receiver(
  options: { hasStateMachine?: boolean; log?: Partial<SegmentedLog>; termHere?: number } = {},
): Received {
  const disk = new FailingDisk()
  disk.makeDirectorySync('/m')
  const failures: Error[] = []
  const sent: Message[] = []
  const whole: Incoming[] = []
  const writes: Partial<HardState>[] = []
  const lastIndex = options.log?.lastIndex ?? -1
  const received: Received = {
    disk,
    failures,
    sent,
    whole,
    writes,
    held: null,
    durableTerm: 1,
    at: { blockedFrom: Number.POSITIVE_INFINITY, commitIndex: -1, appliedIndex: -1, checkpointIndex: -1 },
    offered: (change) => receives.offered({ ...offer, ...change }, null),
  }
  const member = {
    hardState: { storeId: 'store of n0' } as HardState,
    log: { lostRanges: () => [], ...options.log },
    writeHardState(change: Partial<HardState>, callback: (error: Error | null) => void) {
      this.hardState = { ...this.hardState, ...change }
      writes.push(change)
      if (received.held === null) callback(null)
      else received.held.push(() => callback(null))
    },
  }
  const receives = new InstallReceiver({
    member: member as unknown as OpenedMember,
    raft: {
      lastIndex,
      termAt: (index: number) => (index > lastIndex ? -1 : (options.termHere ?? -1)),
    } as unknown as Raft,
    transport: { send: (message: Message) => void sent.push(message) } as unknown as Transport,
    self: 'n0',
    disk: new WatchedDisk(disk, () => 0),
    directory: '/m',
    settings: { ...DEFAULT_SETTINGS, fileBytes: 64 * 1024, indexFileBytes: 32 * 1024 },
    checksummedFrom: 0,
    defer: (callback) => systemClock.defer(callback),
    logger: silentLogger,
    hasStateMachine: options.hasStateMachine ?? false,
    blockedFrom: () => received.at.blockedFrom,
    checkpointIndex: () => received.at.checkpointIndex,
    role: () => ({ role: 'FOLLOWER', term: 1, leader: 'n1', ready: false }),
    durableTerm: () => received.durableTerm,
    commitIndex: () => received.at.commitIndex,
    appliedIndex: () => received.at.appliedIndex,
    faults: new Set(),
    whileRunning: (work) => work(),
    onWhole: (incoming) => void whole.push(incoming),
    onFailed: (error) => void failures.push(error),
  })
  return received
}

const acks = (sent: readonly Message[]): InstallAck[] => sent.filter((message) => message.type === 'InstallAck')

test('a disk that fails where the files are to go stops the member', () => {
  const { disk, failures, sent, offered } = receiver()
  disk.error = Object.assign(new Error('EIO: i/o error'), { code: 'EIO' })
  offered()
  expect(failures.map((error) => 'code' in error && error.code)).toEqual(['STORAGE_FAILED'])
  expect(acks(sent)).toEqual([])
})

test('a disk without room for the first file is tried again at the next offer', () => {
  const { disk, failures, sent, offered } = receiver()
  disk.error = noRoom()
  offered()
  expect(failures).toEqual([])
  expect(acks(sent)).toEqual([])
  disk.error = null
  offered()
  expect(failures).toEqual([])
  expect(acks(sent)).toMatchObject([{ nextIndex: 10, isOver: false }])
})

test('an offer that is repeated while the end of the transfer is written into the hard state begins no second sync', async () => {
  const received = receiver()
  const { whole, writes, offered } = received
  // The log ends where it starts: nothing is missing.
  const empty = { lastIndex: 9 }
  const held: (() => void)[] = []
  received.held = held
  offered(empty)
  held.shift()?.()
  await untilSeen('what was received is remembered', () => held.length > 0)
  offered(empty)
  held.shift()?.()
  expect(whole).toHaveLength(1)
  // Longer than a sync would take.
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve))
  expect(writes.map(({ incoming }) => incoming?.phase)).toEqual(['STAGING', 'STAGING'])
  expect(whole).toHaveLength(1)
})

test('an offer is not answered before its term is on the disk', () => {
  const received = receiver()
  received.durableTerm = 0
  received.offered()
  expect(acks(received.sent)).toEqual([])
  received.durableTerm = 1
  received.offered()
  expect(acks(received.sent)).toMatchObject([{ nextIndex: 10, isOver: false }])
})

describe('a log that is to be cut from entry 10 on, after one that is lost and that the leader has trimmed', () => {
  /** Entries 10 to 15 are committed, and were applied from memory. */
  const blocked = (): Received => {
    const log = { firstIndex: 3, lastIndex: 12, firstLostFrom: () => 9 }
    const received = receiver({ hasStateMachine: true, log })
    received.at = { blockedFrom: 10, commitIndex: 15, appliedIndex: 15, checkpointIndex: 8 }
    return received
  }
  const state = { snapshotIndex: 18, snapshotId: 'a state' }
  const isTaken = ({ writes }: Received): boolean => writes.some(({ incoming }) => incoming?.phase === 'STAGING')

  test('gives way to all that is offered, and not to the state alone', () => {
    const received = blocked()
    received.offered(state)
    expect(received.writes.map(({ incoming }) => incoming?.stateOnly ?? false)).toEqual([false])
    expect(acks(received.sent)).toMatchObject([{ nextIndex: 10, stateAt: 0, isOver: false }])
  })

  test('waits for an offer that reaches what is committed, and for a state that takes nothing back', () => {
    for (const [change, takes] of [
      [{ ...state, lastIndex: 14, snapshotIndex: 12 }, false],
      [{ ...state, snapshotIndex: 14 }, false],
      [{ ...state, lastIndex: 15, snapshotIndex: 15 }, true],
    ] as const) {
      const received = blocked()
      received.offered(change)
      expect(isTaken(received)).toBe(takes)
      expect(acks(received.sent)).toMatchObject([{ isOver: !takes }])
    }
    const received = blocked()
    received.at.checkpointIndex = 9
    received.offered({ ...state, snapshotIndex: 14 })
    expect(isTaken(received)).toBe(true)
  })

  test('takes the state alone where the leader still has what is to be cut off', () => {
    const received = blocked()
    received.at.blockedFrom = 12
    received.offered({ ...state, lastIndex: 20 })
    expect(received.writes.map(({ incoming }) => incoming?.stateOnly ?? false)).toEqual([true])
  })
})

describe('a log that has lost entries with their terms, which the leader has trimmed', () => {
  /** Up to 12 all is committed; what is behind it may yet be. */
  const lacking = (lost: Partial<LostRange>, { lastIndex = 12, termHere = -1 } = {}): Received => {
    const { firstIndex = 3 } = lost
    const range = { firstIndex, lastIndex: firstIndex, termRuns: null, ...lost } as LostRange
    const log = { firstIndex: 0, lastIndex, firstLostFrom: () => firstIndex, lostRanges: () => [range] }
    const received = receiver({ hasStateMachine: true, log, termHere })
    received.at = { ...received.at, commitIndex: 12, appliedIndex: 2 }
    return received
  }
  const state = { snapshotIndex: 18, snapshotId: 'a state' }
  const taken = ({ writes }: Received): boolean[] => writes.map(({ incoming }) => incoming?.stateOnly ?? false)

  test('gives way to all that is offered when it lacks the end, which nobody can send it entry by entry', () => {
    const received = lacking({})
    received.offered(state)
    expect(taken(received)).toEqual([false])
  })

  test('takes the state alone where its terms are known, and where it has what is offered', () => {
    for (const received of [
      lacking({ termRuns: [{ firstIndex: 3, term: 1 }] }),
      lacking({}, { lastIndex: 30, termHere: 1 }),
    ]) {
      received.offered(state)
      expect(taken(received)).toEqual([true])
    }
  })

  test('waits for another offer where this one ends among those entries, and would take with it what is behind them', () => {
    for (const termHere of [-1, 1]) {
      const lost = { firstIndex: 3, lastIndex: 25 }
      const longer = lacking(lost, { lastIndex: 30, termHere })
      longer.offered(state)
      expect(taken(longer)).toEqual([])
      expect(acks(longer.sent)).toMatchObject([{ isOver: true }])
      const received = lacking(lost, { lastIndex: 30, termHere })
      received.offered({ ...state, lastIndex: 31 })
      expect(taken(received)).toEqual([false])
    }
    const received = lacking({ firstIndex: 3, lastIndex: 20 }, { lastIndex: 20, termHere: 1 })
    received.offered(state)
    expect(taken(received)).toEqual([false])
  })
})
