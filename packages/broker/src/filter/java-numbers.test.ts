/** Numbers in texts, as Java reads them. */
import { expect, it } from 'vitest'
import { compareDoubles, parseDouble, parseInt32, parseInt64 } from './java-numbers.ts'

it.each<[string, number | undefined]>([
  ['0', 0],
  ['-0', 0],
  ['+7', 7],
  ['007', 7],
  ['2147483647', 2_147_483_647],
  ['2147483648', undefined],
  ['-2147483648', -2_147_483_648],
  ['-2147483649', undefined],
  ['', undefined],
  ['+', undefined],
  [' 5', undefined],
  ['5L', undefined],
  ['1.0', undefined],
  ['१२', 12],
  ['𝟏', undefined],
])('%j as an integer of 32 bits is %s', (text, value) => {
  expect(parseInt32(text)).toBe(value)
})

it.each<[string, bigint | undefined]>([
  ['9223372036854775807', 9_223_372_036_854_775_807n],
  ['9223372036854775808', undefined],
  ['-9223372036854775808', -9_223_372_036_854_775_808n],
  ['-9223372036854775809', undefined],
  ['+12', 12n],
  ['-0', 0n],
  ['000', 0n],
  [`-${'0'.repeat(50)}7`, -7n],
  ['1'.repeat(20), undefined],
])('%j as an integer of 64 bits is %s', (text, value) => {
  expect(parseInt64(text)).toBe(value)
})

it.each<[string, number | undefined]>([
  ['1.5', 1.5],
  [' 1.5 ', 1.5],
  ['\u0000 1.5\t', 1.5],
  ['\u00a01.5', undefined],
  ['1.', 1],
  ['.5', 0.5],
  ['.', undefined],
  ['', undefined],
  ['1e3', 1_000],
  ['1e', undefined],
  ['1E-400', 0],
  ['1e400', Number.POSITIVE_INFINITY],
  ['-Infinity', Number.NEGATIVE_INFINITY],
  ['infinity', undefined],
  ['NaN', Number.NaN],
  ['NaNd', undefined],
  ['1f', 1],
  ['1.5D', 1.5],
  ['1ff', undefined],
  ['0x10', undefined],
  ['0x10p0', 16],
  ['-0x1.8p1', -3],
  ['0x.8p0F', 0.5],
  ['0xp1', undefined],
  ['0x1p-1074', 5e-324],
  ['0x1p-1075', 0],
  ['0x1p99999', Number.POSITIVE_INFINITY],
  ['0x1fffffffffffff8p0', 2 ** 57],
  ['0b1', undefined],
])('%j as a double is %s', (text, value) => {
  expect(parseDouble(text)).toBe(value)
})

it('tells what is no number as soon as it has read it, however many digits it begins with', () => {
  const digits = '1'.repeat(32_000)
  for (const text of [`${digits}x`, `${digits}.x`, `1.${digits}x`, `1e${digits}x`, `0x${digits}p1x`]) {
    for (let i = 0; i < 20; i++) expect(parseDouble(text)).toBeUndefined()
  }
  for (let i = 0; i < 20_000; i++) expect(parseInt64(digits)).toBeUndefined()
})

it('orders doubles as Java does', () => {
  const ordered = [Number.NEGATIVE_INFINITY, -1, -0, 0, 1, Number.POSITIVE_INFINITY, Number.NaN]
  const shuffled = [3, 6, 0, 5, 1, 4, 2].map((i) => ordered[i] as number)
  expect(shuffled.sort(compareDoubles)).toEqual(ordered)
})
