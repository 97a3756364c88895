/** The entry at a byte: found wherever it is, and told from what is damaged, with lost entries anywhere. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { DLedgerError } from '../errors.ts'
import type { EntryBatch } from '../log/entry-batch.ts'
import type { LostRange } from '../log/lost-ranges.ts'
import { type EntryFound, type EntrySearchParts, findEntryAt } from './entry-search.ts'

/** A log in batches of some entries, of which some are lost. */
function logOf(
  sizes: readonly number[],
  batchCount: number,
  isLost: (index: number) => boolean,
): EntrySearchParts & { positions: number[] } {
  const positions: number[] = []
  let end = 0
  for (const size of sizes) {
    positions.push(end)
    end += size
  }
  const ranges: LostRange[] = []
  for (let index = 0; index < sizes.length; index++) {
    if (!isLost(index)) continue
    let lastIndex = index
    while (lastIndex + 1 < sizes.length && isLost(lastIndex + 1)) lastIndex++
    const endPos = (positions[lastIndex] as number) + (sizes[lastIndex] as number)
    ranges.push({
      firstIndex: index,
      lastIndex,
      pos: positions[index] as number,
      endPos,
      prevChain: null,
      termRuns: null,
    })
    index = lastIndex
  }
  const corrupt = new DLedgerError('lost', { code: 'CORRUPT', file: 'data', at: 0 })
  return {
    positions,
    lostRanges: () => ranges,
    read: (index, _last, _bytesMax, callback) => {
      if (isLost(index)) return callback(corrupt, null)
      const from = index - (index % batchCount)
      const indexes: number[] = []
      for (let i = from; i < Math.min(sizes.length, from + batchCount); i++)
        if (i >= index || !isLost(i)) indexes.push(i)
      while (indexes.some((i, at) => i !== (indexes[0] as number) + at || isLost(i))) {
        if ((indexes[0] as number) < index) indexes.shift()
        else indexes.pop()
      }
      const batch: EntryBatch = {
        firstIndex: indexes[0] as number,
        term: 1,
        count: indexes.length,
        positions: indexes.map((i) => positions[i] as number),
        sizes: indexes.map((i) => sizes[i] as number),
        bytes: Buffer.alloc(0),
      }
      callback(null, batch)
    },
  }
}

test('every byte of a log is the start of one entry, of none, or among lost ones', () => {
  const sizes = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 40 })
  fc.assert(
    fc.property(
      sizes,
      fc.integer({ min: 1, max: 5 }),
      fc.array(fc.nat(39), { maxLength: 8 }),
      (given, batchCount, lost) => {
        const log = logOf(given, batchCount, (index) => lost.includes(index))
        const end = given.reduce((sum, size) => sum + size, 0)
        for (let pos = 0; pos < end + 3; pos++) {
          const told: (EntryFound | string | null)[] = []
          findEntryAt(log, pos, { firstIndex: 0, lastIndex: given.length - 1 }, (error, found) => {
            told.push(error === null ? found : error.message)
          })
          const holder = log.positions.findLastIndex((start) => start <= pos)
          if (lost.includes(holder) && pos < end) expect(told).toEqual(['lost'])
          else if (log.positions[holder] === pos) expect(told).toMatchObject([{ index: holder }])
          else expect(told).toEqual([null])
        }
      },
    ),
    { numRuns: 300 },
  )
})
