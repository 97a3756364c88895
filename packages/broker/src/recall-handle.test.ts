/** Recall handles: as Apache's broker gave them, and what is none. */
import { expect, test } from 'vitest'
import { decodeRecallHandle, encodeRecallHandle } from './recall-handle.ts'

/** From test/vectors/frames/java-5.5.0-pop-admin.jsonl, step timer-message. */
const RECORDED =
  'djEgR29sZFBvcF9KNSBnb2xkLWIxIDE3OTUyMjU1OTcwMDEgRkQwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDI3RTA4MzA5NDZFMDk2NzVGRTI0NjAwMDQ='
const FIELDS = {
  topic: 'GoldPop_J5',
  brokerName: 'gold-b1',
  deliverMs: 1_795_225_597_001,
  uniqKey: 'FD0000000000000000000000000000027E0830946E09675FE2460004',
}

test('a recorded handle is understood, and made again byte for byte', () => {
  expect(decodeRecallHandle(RECORDED)).toEqual(FIELDS)
  expect(encodeRecallHandle(FIELDS)).toBe(RECORDED)
})

test('the alphabet is that of URLs, and padding may be missing', () => {
  const fields = { ...FIELDS, uniqKey: '>>>???' }
  const handle = encodeRecallHandle(fields)
  expect(handle).toMatch(/^[\w=-]+$/)
  expect(decodeRecallHandle(handle.replace(/=+$/, ''))).toEqual(fields)
})

test.each([
  ['nothing', ''],
  ['no base64', 'djEg*'],
  ['another version', Buffer.from('v2 T b 1 id').toString('base64url')],
  ['too few fields', Buffer.from('v1 T b 1').toString('base64url')],
  ['endless text', 'A'.repeat(5_000)],
])('%s is no handle', (_, text) => {
  expect(decodeRecallHandle(text)).toBeUndefined()
})

test('a time that is no number is not taken for one', () => {
  const handle = Buffer.from('v1 T b 1e9 id').toString('base64url')
  expect(decodeRecallHandle(handle)?.deliverMs).toBeNaN()
})
