import { silentLogger } from '@dledger-ts/base'
import { beforeEach, expect, test } from 'vitest'
import { MemoryDisk } from '../disk/memory-disk.ts'
import type { EntryBatch } from '../log/entry-batch.ts'
import { append, batchAfter, hintOf, openLog, sync } from '../log/log-fixture.ts'
import type { SegmentedLog } from '../log/segmented-log.ts'
import type { Message, RepairRequest, RepairResponse } from '../raft/messages.ts'
import type { Raft } from '../raft/raft.ts'
import type { Transport } from '../transport/transport.ts'
import type { HotTail } from './hot-tail.ts'
import { Repairing } from './repairing.ts'

const TERMS = [1, 1, 2, 2, 2, 3]
const PEERS = ['n1', 'n2']
/** Of the first attempt until it is given up. */
const WAKES_MAX = 100

let batches: EntryBatch[]
let sent: RepairRequest[]
let log: SegmentedLog
let repairing: Repairing

/** A log of which nothing is left but the hint that says how long it was: its terms are not known. */
beforeEach(async () => {
  const whole = openLog('/whole', { disk: new MemoryDisk() })
  batches = []
  for (const term of TERMS) {
    const batch = batchAfter(whole, term, [{ bodyBytes: 200 }])
    batches.push(batch)
    await append(whole, batch)
  }
  await sync(whole)
  log = openLog('/lost', { disk: new MemoryDisk(), durableHint: hintOf(whole), configurationIndexes: [] })
  whole.close()
  expect(log.lostRanges()).toMatchObject([{ firstIndex: 0, lastIndex: TERMS.length - 1, termRuns: null }])
  sent = []
  const transport = { send: (message: Message) => void sent.push(message as RepairRequest) } as unknown as Transport
  const raft = { hears: () => true, lastIndex: -1, termsLearned: () => {}, entriesLost: () => {} }
  repairing = new Repairing({
    log,
    raft: raft as unknown as Raft,
    hot: {} as HotTail,
    transport,
    logger: silentLogger,
    self: 'n0',
    storeId: () => 'store of n0',
    connectedPeers: () => PEERS,
    readCold: () => {},
    onAskedBelowStart: () => {},
    onConfiguration: () => {},
    onRepaired: () => {},
  })
})

function asked(): RepairRequest {
  return sent.at(-1) as RepairRequest
}

/** The peer that was asked answers with one entry, or with none. */
function answer(change: 'as it is' | 'spoiled' | 'none' = 'as it is'): void {
  const { to: from, firstIndex } = asked()
  const batch = batches[firstIndex] as EntryBatch
  const bytes = Buffer.from(batch.bytes)
  if (change === 'spoiled') bytes.writeUInt8(bytes.readUInt8(60) ^ 1, 60)
  const message: RepairResponse = {
    type: 'RepairResponse',
    from,
    to: 'n0',
    storeId: `store of ${from}`,
    term: batch.term,
    firstIndex,
    count: change === 'none' ? 0 : 1,
    bytes: change === 'none' ? 0 : bytes.length,
  }
  repairing.answered(message, change === 'none' ? null : bytes)
}

test('of a range that comes whole or not at all a piece that does not fit is asked for again, and no other', () => {
  repairing.wake()
  for (let index = 0; index < TERMS.length; index++) {
    expect(asked().firstIndex).toBe(index)
    const peer = asked().to
    answer('spoiled')
    repairing.wake()
    expect(asked()).toMatchObject({ firstIndex: index, to: PEERS.find((other) => other !== peer) })
    answer('none')
    repairing.wake()
    answer()
  }
  expect(log.lostRanges()).toEqual([])
  expect(sent).toHaveLength(3 * TERMS.length)
  log.close()
})

test('what nobody can continue is given up, and asked for from the beginning', () => {
  repairing.wake()
  for (let index = 0; index < 3; index++) answer()
  expect(asked().firstIndex).toBe(3)
  for (let wakes = 0; asked().firstIndex === 3; wakes++) {
    expect(wakes).toBeLessThan(WAKES_MAX)
    answer('spoiled')
    repairing.wake()
  }
  expect(asked().firstIndex).toBe(0)
  for (let index = 0; index < TERMS.length; index++) answer()
  expect(log.lostRanges()).toEqual([])
  log.close()
})
