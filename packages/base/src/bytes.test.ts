import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  readInt16,
  readInt32,
  readInt64,
  readInt8,
  readUint32,
  writeInt16,
  writeInt32,
  writeInt64,
  writeUint32,
} from './bytes.ts'

const at = fc.integer({ min: -3, max: 12 })
const bytes = fc.uint8Array({ minLength: 0, maxLength: 12 }).map((array) => Buffer.from(array))

describe('integers in buffers', () => {
  it.each([
    ['int8', readInt8, (source: Buffer, from: number) => source.readInt8(from)],
    ['int16', readInt16, (source: Buffer, from: number) => source.readInt16BE(from)],
    ['int32', readInt32, (source: Buffer, from: number) => source.readInt32BE(from)],
    ['uint32', readUint32, (source: Buffer, from: number) => source.readUInt32BE(from)],
  ] as const)('%s is read as Buffer reads it, or neither reads it', (_, ours, theirs) => {
    fc.assert(
      fc.property(bytes, at, (source, from) => {
        let expected: number | null = null
        try {
          expected = theirs(source, from)
        } catch {
          expect(() => ours(source, from)).toThrow(RangeError)
          return
        }
        expect(ours(source, from)).toBe(expected)
      }),
    )
  })

  it.each([
    ['int16', writeInt16, (target: Buffer, value: number, to: number) => target.writeInt16BE(value, to)],
    ['int32', writeInt32, (target: Buffer, value: number, to: number) => target.writeInt32BE(value, to)],
    ['uint32', writeUint32, (target: Buffer, value: number, to: number) => target.writeUInt32BE(value, to)],
  ] as const)('%s is written as Buffer writes it, or neither writes anything', (_, ours, theirs) => {
    const value = fc.oneof(
      fc.integer({ min: -0x8000_0000, max: 0xffff_ffff }),
      fc.constantFrom(-0x8000_0001, 0x1_0000_0000, -0x8001, -0x8000, 0x7fff, 0x8000, 0x7fff_ffff, 0x8000_0000),
    )
    fc.assert(
      fc.property(bytes, value, at, (target, number, to) => {
        const expected = Buffer.from(target)
        let isRefused = false
        try {
          theirs(expected, number, to)
        } catch {
          isRefused = true
        }
        if (isRefused) expect(() => ours(target, number, to)).toThrow(RangeError)
        else ours(target, number, to)
        expect(target).toEqual(expected)
      }),
    )
  })

  it('refuses what is no whole number', () => {
    const target = Buffer.alloc(8)
    for (const value of [0.5, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(() => writeInt16(target, value, 0)).toThrow(RangeError)
      expect(() => writeInt32(target, value, 0)).toThrow(RangeError)
      expect(() => writeUint32(target, value, 0)).toThrow(RangeError)
      expect(() => writeInt64(target, value, 0)).toThrow('safe integer')
    }
  })

  it('takes 64 bits up to 2^53 there and back, and tells what is beyond', () => {
    fc.assert(
      fc.property(fc.maxSafeInteger(), (value) => {
        const target = Buffer.alloc(8)
        writeInt64(target, value, 0)
        expect(target.readBigInt64BE(0)).toBe(BigInt(value))
        expect(readInt64(target, 0)).toBe(value)
      }),
    )
    const beyond = Buffer.alloc(8)
    beyond.writeBigInt64BE(2n ** 53n)
    expect(readInt64(beyond, 0)).toBeNaN()
    expect(() => readInt64(Buffer.alloc(7), 0)).toThrow(RangeError)
    expect(() => writeInt64(Buffer.alloc(7), 1, 0)).toThrow(RangeError)
  })
})
