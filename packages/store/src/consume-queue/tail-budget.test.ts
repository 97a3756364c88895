import { describe, expect, test } from 'vitest'
import { ConsumeQueue } from './consume-queue.ts'
import { TailBudget } from './tail-budget.ts'

const QUEUES = 200
const BYTES_MAX = 100_000

function written(queue: ConsumeQueue, to: number): void {
  queue.sum.add(queue.copyEntries(queue.writtenOffset, to), 300_000, () => {})
  queue.written(to)
}

function trickle(queues: readonly ConsumeQueue[], budget: TailBudget, rounds: number): void {
  for (let round = 0; round < rounds; round++) {
    for (const queue of queues) queue.append(queue.nextOffset * 100, 100, 7)
    for (const queue of queues) {
      written(queue, queue.nextOffset)
      budget.written(queue)
      queue.checkInvariants()
    }
  }
}

describe('the memory of all tails', () => {
  test('stays below its bound while entries trickle into many queues, and each keeps its newest ones', () => {
    const queues = Array.from({ length: QUEUES }, (_, i) => new ConsumeQueue('T', i))
    const budget = new TailBudget(BYTES_MAX)
    for (let i = 0; i < 30; i++) {
      trickle(queues, budget, 20)
      expect(budget.bytes).toBeLessThanOrEqual(BYTES_MAX)
    }
    const bytes = queues.reduce((sum, queue) => sum + queue.tailBytes, 0)
    expect(bytes).toBeLessThanOrEqual(BYTES_MAX)
    const withTail = queues.filter((queue) => queue.tailFrom < queue.nextOffset)
    expect(withTail.length).toBe(QUEUES)
    for (const queue of withTail)
      expect(queue.physicalOffsetAt(queue.nextOffset - 1)).toBe((queue.nextOffset - 1) * 100)
  })

  test('takes nothing that is not written', () => {
    const budget = new TailBudget(1)
    const queue = new ConsumeQueue('T', 0)
    for (let i = 0; i < 50; i++) queue.append(i * 100, 100, 7)
    written(queue, 20)
    budget.written(queue)
    expect([queue.tailFrom, queue.sizeAt(20)]).toEqual([20, 100])
  })
})
