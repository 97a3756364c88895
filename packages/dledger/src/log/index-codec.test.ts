import { expect, test } from 'vitest'
import { decodeIndexUnit, encodeIndexUnit } from './index-codec.ts'

// Unit 45 of the index of an Apache DLedger.
const hex = '00000001000000000001000000000662000000000000002d0000000000000001'
const unit = { magic: 1, pos: 65_536, size: 1634, index: 45, term: 1 }

test('an index unit is written and read as Apache does', () => {
  const target = Buffer.alloc(33, 0xee)
  encodeIndexUnit(target, 1, unit)
  expect(target.toString('hex')).toBe(`ee${hex}`)
  expect(decodeIndexUnit(target, 1, 45)).toEqual(unit)
})

test.each([
  { name: 'zeros', bytes: Buffer.alloc(32) },
  { name: 'ones', bytes: Buffer.alloc(32, 0xff) },
  { name: 'another index', bytes: Buffer.from(hex.replace('002d', '002e'), 'hex') },
  { name: 'half a unit', bytes: Buffer.from(hex, 'hex').subarray(0, 31) },
])('there is no unit in $name', ({ bytes }) => {
  expect(decodeIndexUnit(bytes, 0, 45)).toBeNull()
})
