/** What waits for slow peers together: beyond the bound the one for which most waits is closed. */
import { expect, test } from 'vitest'
import { UnwrittenBudget } from './unwritten-budget.ts'

function slow(names: string[], name: string) {
  return { closeSlow: () => void names.push(name) }
}

test('the largest is closed until what waits is within the bound; what was taken counts no more', () => {
  const closed: string[] = []
  const budget = new UnwrittenBudget(100)
  const [a, b, c] = ['a', 'b', 'c'].map((name) => slow(closed, name)) as [never, never, never]
  budget.waits(a, 40)
  budget.waits(b, 50)
  budget.waits(a, 45)
  expect([budget.bytes, closed]).toEqual([95, []])
  budget.waits(c, 10)
  expect([budget.bytes, closed]).toEqual([55, ['b']])
  budget.taken(a)
  budget.taken(a)
  expect(budget.bytes).toBe(10)
  budget.waits(c, 200)
  expect([budget.bytes, closed]).toEqual([0, ['b', 'c']])
})
