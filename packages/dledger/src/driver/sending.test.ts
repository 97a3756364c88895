/** Cold reads keep to the budget of all followers that are fed from disk. */
import { expect, test } from 'vitest'
import { DEFAULT_SETTINGS } from '../config.ts'
import type { EntryBatch } from '../log/entry-batch.ts'
import type { ColdRead } from '../raft/output.ts'
import { LoneTransport } from '../transport/lone.ts'
import { CatchUpBudget } from './catch-up-budget.ts'
import { HotTail } from './hot-tail.ts'
import { Sending } from './sending.ts'
import { systemClock } from '@dledger-ts/base'

const HEARTBEAT_MS = 100

/** A member whose disk answers at once with batches of 1,000 bytes, and 10,000 bytes a second to be read. */
class Subject {
  readonly read: string[] = []
  readonly answered: number[] = []
  readonly budget = new CatchUpBudget(10_000, HEARTBEAT_MS)
  readonly sending = new Sending({
    transport: new LoneTransport(systemClock),
    observer: undefined,
    hot: new HotTail(DEFAULT_SETTINGS.hotBytesMax),
    raft: { coldRead: (_peer, firstIndex) => void this.answered.push(firstIndex) },
    storeId: () => 'store-n0',
    beforeSend: () => {},
    budget: this.budget,
    readCold: (firstIndex, _lastIndex, _bytesMax, callback) => {
      this.read.push(`${firstIndex}`)
      callback(batch(firstIndex))
    },
    later: (callback) => callback(),
    onRead: () => {},
  })

  heartbeat(): void {
    this.budget.refill(HEARTBEAT_MS)
    this.sending.refilled()
  }
}

function batch(firstIndex: number): EntryBatch {
  const bytes = Buffer.alloc(1_000)
  return { firstIndex, count: 1, term: 1, bytes, positions: [0], sizes: [1_000] }
}

function wish(peer: string, firstIndex: number): ColdRead {
  return { peer, firstIndex, lastIndex: firstIndex + 9, bytesMax: 1_000 }
}

test('what the budget does not allow waits for the next heartbeat, whoever it is for', () => {
  const subject = new Subject()
  subject.sending.read(wish('n1', 0))
  subject.sending.read(wish('n1', 1))
  subject.sending.read(wish('n2', 7))
  expect(subject.answered).toEqual([0])
  subject.heartbeat()
  expect(subject.answered).toEqual([0, 1])
  subject.heartbeat()
  expect(subject.answered).toEqual([0, 1, 7])
  subject.heartbeat()
  expect(subject.read).toEqual(['0', '1', '7'])
})

test('of one follower only the newest read waits, and none of what was cut', () => {
  const subject = new Subject()
  subject.sending.read(wish('n1', 0))
  for (let i = 1; i < 100; i++) subject.sending.read(wish('n1', i))
  subject.heartbeat()
  expect(subject.answered).toEqual([0, 99])
  subject.sending.read(wish('n1', 100))
  subject.sending.truncated()
  subject.heartbeat()
  expect(subject.answered).toEqual([0, 99])
})
