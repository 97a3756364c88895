/** Batch bodies against those that Apache's client encodes. */
import fc from 'fast-check'
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { encodeBatchBody, splitBatchBody } from './batch.ts'
import { ProtocolError } from './errors.ts'
import { decodeProperties } from './properties.ts'

interface BatchVector {
  name: string
  hex: string
  decoded: { flag: number; bodyHex: string; properties: Record<string, string> }[]
}
const { batchBodies } = JSON.parse(
  readFileSync(new URL('../../../test/vectors/records/records.json', import.meta.url), 'utf8'),
) as { batchBodies: BatchVector[] }

describe.each(batchBodies)("Apache's batch $name", ({ hex, decoded }) => {
  const bytes = Buffer.from(hex, 'hex')
  it('splits into its messages', () => {
    const messages = splitBatchBody(bytes).map((message) => ({
      flag: message.flag,
      bodyHex: message.body.toString('hex'),
      properties: Object.fromEntries(decodeProperties(message.properties)),
    }))
    expect(messages).toEqual(decoded)
  })
  it('is encoded to the same bytes', () => {
    expect(encodeBatchBody(splitBatchBody(bytes)).toString('hex')).toBe(hex)
  })
  it('is refused when it is cut anywhere but between messages', () => {
    const ends = new Set([0])
    for (let at = 0; at < bytes.length; at += bytes.readInt32BE(at)) ends.add(at)
    for (let length = 0; length < bytes.length; length++) {
      if (!ends.has(length)) expect(() => splitBatchBody(bytes.subarray(0, length))).toThrow(ProtocolError)
    }
  })
})

it('throws nothing but a typed error on flipped bytes', () => {
  const bytes = Buffer.from(batchBodies[1]?.hex ?? '', 'hex')
  fc.assert(
    fc.property(fc.nat(bytes.length - 1), fc.nat(255), (at, value) => {
      const flipped = Buffer.from(bytes)
      flipped[at] = value
      try {
        splitBatchBody(flipped)
      } catch (error) {
        expect(error).toBeInstanceOf(ProtocolError)
      }
    }),
    { numRuns: 2000 },
  )
})

it('does not loop on a message that says it has no bytes', () => {
  expect(() => splitBatchBody(Buffer.alloc(64))).toThrow(ProtocolError)
})
