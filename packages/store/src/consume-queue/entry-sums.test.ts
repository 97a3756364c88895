import { randomFillSync } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { CONSUME_QUEUE_ENTRY_BYTES } from './entry-codec.ts'
import { findChanged, PART_ENTRIES, partEndOf, partStartOf, RunningSum, type Segment } from './entry-sums.ts'

const PER_FILE = 1_300

describe('sums of entries', () => {
  test('are those of the parts, whatever pieces the entries came in, and show every flipped bit', () => {
    fc.assert(
      fc.property(
        fc.nat(3_000),
        fc.array(fc.integer({ min: 1, max: 900 }), { maxLength: 8 }),
        fc.nat(),
        (from, counts, flip) => {
          const all = randomFillSync(
            Buffer.alloc(counts.reduce((sum, count) => sum + count, 0) * CONSUME_QUEUE_ENTRY_BYTES),
          )
          const running = new RunningSum(from)
          const segments: Segment[] = []
          let at = 0
          for (const count of counts) {
            const piece = all.subarray(at, at + count * CONSUME_QUEUE_ENTRY_BYTES)
            running.add(piece, PER_FILE, (segment) => segments.push(segment))
            at += piece.length
          }
          if (running.to > running.from) segments.push({ from: running.from, to: running.to, sum: running.sum })
          let next = from
          for (const segment of segments) {
            expect(segment.from).toBe(next)
            expect(segment.to).toBeLessThanOrEqual(partEndOf(next, PER_FILE))
            expect(partStartOf(segment.to - 1, PER_FILE)).toBe(partStartOf(next, PER_FILE))
            next = segment.to
          }
          expect(next).toBe(from + all.length / CONSUME_QUEUE_ENTRY_BYTES)
          expect(findChanged(segments, from, all)).toBeNull()
          if (all.length === 0) return
          const byte = flip % all.length
          all.writeUInt8(all.readUInt8(byte) ^ (1 << (flip % 8)), byte)
          const changed = findChanged(segments, from, all) as Segment
          const entry = from + Math.floor(byte / CONSUME_QUEUE_ENTRY_BYTES)
          expect(changed.from <= entry && entry < changed.to).toBe(true)
        },
      ),
    )
  })

  test.each([
    { at: 0, part: [0, PART_ENTRIES] },
    { at: PART_ENTRIES, part: [PART_ENTRIES, 2 * PART_ENTRIES] },
    { at: 1_299, part: [1_000, 1_300] },
    { at: 1_300, part: [1_300, 1_800] },
    { at: 2_599, part: [2_300, 2_600] },
  ])('the part of entry $at is $part where a file has 1,300', ({ at, part }) => {
    expect([partStartOf(at, PER_FILE), partEndOf(at, PER_FILE)]).toEqual(part)
  })
})
