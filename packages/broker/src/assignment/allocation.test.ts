/** The allocation of queues to clients equals Apache's. */
import { expect, test } from 'vitest'
import { allocate, type AllocationStrategy } from './allocation.ts'

/** From RocketMQ 5.5.0's own classes: strategy, queues, and what each client gets. */
const rows: { strategy: AllocationStrategy; queues: number; result: number[][] }[] = [
  { strategy: 'AVG', queues: 1, result: [[0]] },
  {
    strategy: 'AVG',
    queues: 4,
    result: [
      [0, 1],
      [2, 3],
    ],
  },
  {
    strategy: 'AVG_BY_CIRCLE',
    queues: 4,
    result: [
      [0, 2],
      [1, 3],
    ],
  },
  { strategy: 'AVG', queues: 4, result: [[0, 1], [2], [3]] },
  { strategy: 'AVG_BY_CIRCLE', queues: 4, result: [[0, 3], [1], [2]] },
  { strategy: 'AVG', queues: 4, result: [[0], [1], [2], [3], []] },
  {
    strategy: 'AVG',
    queues: 8,
    result: [
      [0, 1, 2],
      [3, 4, 5],
      [6, 7],
    ],
  },
  {
    strategy: 'AVG_BY_CIRCLE',
    queues: 8,
    result: [
      [0, 3, 6],
      [1, 4, 7],
      [2, 5],
    ],
  },
  { strategy: 'AVG', queues: 8, result: [[0, 1], [2, 3], [4, 5], [6], [7]] },
  {
    strategy: 'AVG',
    queues: 7,
    result: [
      [0, 1, 2],
      [3, 4],
      [5, 6],
    ],
  },
  {
    strategy: 'AVG',
    queues: 16,
    result: [
      [0, 1, 2],
      [3, 4, 5],
      [6, 7, 8],
      [9, 10, 11],
      [12, 13],
      [14, 15],
    ],
  },
  {
    strategy: 'AVG_BY_CIRCLE',
    queues: 16,
    result: [
      [0, 6, 12],
      [1, 7, 13],
      [2, 8, 14],
      [3, 9, 15],
      [4, 10],
      [5, 11],
    ],
  },
]

test.each(rows)('$strategy of $queues queues', ({ strategy, queues, result }) => {
  const items = Array.from({ length: queues }, (_, i) => i)
  result.forEach((expected, clientIndex) => {
    expect(allocate(strategy, items, { clientIndex, clientCount: result.length })).toEqual(expected)
  })
})
