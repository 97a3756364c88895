/** The strings of pops: as Apache's ExtraInfoUtil builds and reads them. */
import { RemotingError } from '@dledger-ts/remoting'
import { describe, expect, test } from 'vitest'
import { buildExtraInfo, msgOffsetInfo, orderCountInfo, parseExtraInfo, startOffsetInfo } from './extra-info.ts'
import { popRetryTopicV1, popRetryTopicV2, realTopic, retryFlagOf } from './retry-topics.ts'

const POPPED = [
  { topic: 'T', queueId: 2, startOffset: 10, queueOffsets: [10, 12] },
  { topic: '%RETRY%g_T', queueId: 0, startOffset: 3, queueOffsets: [3] },
  { topic: '%RETRY%g+T', queueId: 0, startOffset: 4, queueOffsets: [4, 5, 6] },
]
const NAMES = { popTime: 1_700_000_000_000, invisibleTime: 60_000, reviveQid: 999, brokerName: 'b' }

test('an answer names each queue once, with the kind of its topic', () => {
  expect(startOffsetInfo(POPPED)).toBe('0 2 10;1 0 3;2 0 4')
  expect(msgOffsetInfo(POPPED)).toBe('0 2 10,12;1 0 3;2 0 4,5,6')
})

test('a message names the pop that gave it out', () => {
  const all = POPPED.map((popped) => buildExtraInfo(NAMES, popped, popped.queueOffsets.at(-1) as number))
  expect(all).toEqual([
    '10 1700000000000 60000 999 0 b 2 12',
    '3 1700000000000 60000 999 1 b 0 3',
    '4 1700000000000 60000 999 2 b 0 6',
  ])
  expect(parseExtraInfo(all[0] as string, 200051)).toEqual({
    popTime: 1_700_000_000_000,
    invisibleTime: 60_000,
    reviveQid: 999,
  })
})

test('counts of earlier pops are given for each message that has one, and the least of the queue', () => {
  expect(
    orderCountInfo(
      'T',
      1,
      new Map([
        [7, 2],
        [8, 0],
      ]),
    ),
  ).toBe('0 qo1%7 2;0 1 0')
  expect(
    orderCountInfo(
      'T',
      1,
      new Map([
        [7, 2],
        [8, 1],
      ]),
    ),
  ).toBe('0 qo1%7 2;0 qo1%8 1;0 1 1')
})

describe('a string that names no pop', () => {
  test.each([
    '',
    ' ',
    'a b c d',
    '1 2 3',
    '1 -2 3 4',
    '1 2.5 3 4',
    '1 2 3e9 4',
    '1 99999999999999999999 3 4',
    '1 9007199254740991 1 4',
    `${'9'.repeat(100_000)} 1 1 1`,
    '1  2 3 4',
  ])('is refused: %j', (text) => {
    expect(() => parseExtraInfo(text, 200051)).toThrow(RemotingError)
  })
})

test('the names of retry topics, and what they are called', () => {
  expect([popRetryTopicV1('T', 'g'), popRetryTopicV2('T', 'g')]).toEqual(['%RETRY%g_T', '%RETRY%g+T'])
  expect(['T', '%RETRY%g_T', '%RETRY%g', '%RETRY%g+T'].map(retryFlagOf)).toEqual(['0', '1', '1', '2'])
  expect(['0', '1', '2', '3'].map((flag) => realTopic('T', 'g', flag))).toEqual([
    'T',
    '%RETRY%g_T',
    '%RETRY%g+T',
    undefined,
  ])
})
