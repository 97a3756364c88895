/** How full a file system counts as. */
import { expect, test } from 'vitest'
import { usedPercentOf } from './node-disk.ts'

test.each([
  ['what is reserved counts neither way', { blocks: 264, bfree: 249, bavail: 80 }, 16],
  ['nothing is used', { blocks: 100, bfree: 100, bavail: 95 }, 0],
  ['a little is one percent', { blocks: 100_000, bfree: 99_999, bavail: 99_999 }, 1],
  ['nothing is left for us', { blocks: 100, bfree: 5, bavail: 0 }, 100],
  ['a file system that does not say', { blocks: 0, bfree: 0, bavail: 0 }, 0],
])('%s', (_, stat, percent) => {
  expect(usedPercentOf(stat)).toBe(percent)
})
