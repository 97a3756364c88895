import { expect, test } from 'vitest'
import { encodeBlank, entryBytesMax, isBlank, placeEntry } from './layout.ts'

test.each([
  { name: 'an empty log', endPos: 0, size: 100, pos: 0 },
  { name: 'an entry that leaves room for a blank', endPos: 900, size: 116, pos: 900 },
  { name: 'an entry one byte too large for that', endPos: 900, size: 117, pos: 1024 },
  { name: 'the largest entry in an empty file', endPos: 1024, size: 1016, pos: 1024 },
  { name: 'the largest entry after another', endPos: 1072, size: 1016, pos: 2048 },
  { name: 'a file with room for a blank only', endPos: 2040, size: 48, pos: 2048 },
])('places after $name', ({ endPos, size, pos }) => {
  expect(placeEntry(endPos, size, 1024)).toBe(pos)
})

test('an entry larger than a file is a bug of the caller', () => {
  expect(entryBytesMax(1024)).toBe(1016)
  expect(() => placeEntry(0, 1017, 1024)).toThrow('fits in an empty file')
})

test('a blank reaches exactly to its file end', () => {
  // The blank of 685 bytes that Apache wrote at 64851 of a file of 65536.
  expect(encodeBlank(64_851, 65_536).toString('hex')).toBe('ffffffff000002ad')
  expect(isBlank(Buffer.from('ffffffff000002ad', 'hex'), 0, 685)).toBe(true)
  expect(isBlank(Buffer.from('ffffffff000002ad', 'hex'), 0, 684)).toBe(false)
  expect(isBlank(Buffer.from('00000001000002ad', 'hex'), 0, 685)).toBe(false)
})
