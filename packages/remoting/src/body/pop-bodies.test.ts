/** Bodies of pop consumption: as Apache's clients write them, and what is no body. */
import { describe, expect, test } from 'vitest'
import { allGoldenFrames } from '../testing/golden-frames.ts'
import { decodeCommand } from '../command.ts'
import { decodeAssignmentQuery, decodeRequestMode, encodeAssignment, encodeRequestModes } from './assignment.ts'
import { decodeBatchAck } from './batch-ack.ts'

const recorded = allGoldenFrames().map((frame) => ({
  frame,
  command: decodeCommand(frame.bytes, 4, frame.bytes.length),
}))

function requestBody(code: number, topic: string): Buffer {
  const found = recorded.find(
    ({ frame, command }) => !frame.response && command.code === code && command.bodyBytes.includes(`"${topic}"`),
  )
  return found?.command.bodyBytes ?? Buffer.alloc(0)
}

describe('an assignment', () => {
  test('is asked for, and answered, as recorded', () => {
    expect(decodeAssignmentQuery(requestBody(400, 'GoldPop_J5'))).toEqual({
      topic: 'GoldPop_J5',
      group: 'PopG_J5',
      clientId: '127.0.0.1@pop_J5',
      isBroadcast: false,
      strategy: 'AVG',
    })
    const queue = { brokerName: 'gold-b1', queueId: -1, topic: 'GoldPop_J5' }
    const answers = recorded
      .filter(({ frame }) => frame.response && frame.requestCode === 400)
      .map(({ command }) => command.bodyBytes.toString())
    expect(answers).toContain(encodeAssignment([queue], 'POP').toString())
    expect(answers).toContain(encodeAssignment([{ ...queue, queueId: 0, topic: '%RETRY%PopG_J5' }], 'PULL').toString())
    expect(encodeAssignment(null, 'POP').toString()).toBe('{}')
  })

  test('has a mode that is set as recorded', () => {
    const setting = { topic: 'GoldPop_J5', group: 'PopG_J5', mode: 'POP', popShareQueueNum: 0 } as const
    expect(decodeRequestMode(requestBody(401, 'GoldPop_J5'))).toEqual(setting)
    const odd = { ...setting, topic: '__proto__', group: 'constructor' }
    const text = encodeRequestModes([setting, odd]).toString()
    expect(text).toBe(
      '{"messageRequestModeMap":{"GoldPop_J5":{"PopG_J5":{"consumerGroup":"PopG_J5","mode":"POP","popShareQueueNum":0,"topic":"GoldPop_J5"}},' +
        '"__proto__":{"constructor":{"consumerGroup":"constructor","mode":"POP","popShareQueueNum":0,"topic":"__proto__"}}}}',
    )
    expect(({} as Record<string, unknown>)['constructor']).toBe(Object)
  })

  test.each(['', '[]', '{"topic":1}', '{"topic":"T","consumerGroup":"g","mode":"PUSH"}', '{"topic":"T"'])(
    'has no mode that is set by %j',
    (text) => {
      expect(() => decodeRequestMode(Buffer.from(text))).toThrow(expect.objectContaining({ code: 'BAD_BODY' }))
    },
  )
})

describe('a batch of acknowledgements', () => {
  const batch = (ack: object) => Buffer.from(JSON.stringify({ acks: [ack], brokerName: 'b' }))
  const ack = { c: 'g', t: 'T', r: '1', q: 2, rq: 3, pt: 4, it: 5, so: 100, b: 'BQg=' }

  test('has the offsets whose bits are set, lowest first', () => {
    const { acks, brokerName } = decodeBatchAck(batch(ack))
    const queue = { consumerGroup: 'g', topic: 'T', retry: '1', queueId: 2, reviveQueueId: 3 }
    expect([brokerName, acks]).toEqual([
      'b',
      [{ ...queue, popTime: 4, invisibleTime: 5, queueOffsets: [100, 102, 111] }],
    ])
    const long = { consumerGroup: 'g', topic: 'T', retry: '0', startOffset: 7, bitSet: 'AQ==' }
    expect(decodeBatchAck(batch(long)).acks[0]?.queueOffsets).toEqual([7])
  })

  test('may be empty', () => {
    expect(decodeBatchAck(Buffer.from('{}')).acks).toEqual([])
    expect(decodeBatchAck(batch({ ...ack, b: '' })).acks[0]?.queueOffsets).toEqual([])
  })

  test.each([
    ['no object', Buffer.from('[]')],
    ['an entry that is none', Buffer.from('{"acks":[1]}')],
    ['no group', batch({ ...ack, c: 5 })],
    ['an offset that is a text', batch({ ...ack, so: 'x' })],
    ['more bits than a batch may have', batch({ ...ack, b: Buffer.alloc(600, 255).toString('base64') })],
    ['more entries than a batch may have', Buffer.from(`{"acks":[${Array(5_000).fill('{}').join()}]}`)],
  ])('with %s is refused', (_, body) => {
    expect(() => decodeBatchAck(body)).toThrow(expect.objectContaining({ code: 'BAD_BODY' }))
  })
})
