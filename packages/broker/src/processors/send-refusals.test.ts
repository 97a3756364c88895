/**
 * Every refusal of a send with its code and remark, through 10, 310 and 320; and that a refused one leaves nothing in the log.
 */
import { encodeBatchBody } from '@dledger-ts/protocol'
import { type ExtFields, RequestCode } from '@dledger-ts/remoting'
import { BATCH_COUNT_MAX } from '@dledger-ts/store'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Fixture, longHeader, sendFields, startBroker, TestClient } from '../testing/broker-fixture.ts'

const MAX_MESSAGE_BYTES = 1_048_576
const LIMITS =
  /maybe msg body or properties length not matched\. msg body length limit 1048576B, msg properties length limit 32KB\./

let fixture: Fixture
let client: TestClient

beforeAll(async () => {
  fixture = await startBroker({ maxMessageSize: String(MAX_MESSAGE_BYTES), rejectTransactionMessage: 'true' })
  client = new TestClient(fixture.broker.address)
  expect((await client.createTopic('ReadOnly', { perm: 4 })).code).toBe(0)
  expect((await client.createTopic('Two', { readQueueNums: 2, writeQueueNums: 2 })).code).toBe(0)
  expect((await client.send('x', { b: '%RETRY%g' })).code).toBe(0)
})
afterAll(async () => {
  client.close()
  await fixture.close()
})

interface Refused {
  readonly name: string
  /** Fields of the short header (310). */
  readonly ext: ExtFields
  readonly body?: string | Buffer
  readonly code: number
  readonly remark: RegExp
}

/** In the words of what is answered: sent by code, refused, and the log as long as before. */
async function expectRefusal(request: number, { ext, body, code, remark }: Refused): Promise<void> {
  const before = fixture.broker.store?.status()
  const short = { ...sendFields(), ...ext }
  const answer = await client.call(
    request,
    request === RequestCode.SEND_MESSAGE ? longHeader(short) : short,
    typeof body === 'string' ? Buffer.from(body) : (body ?? Buffer.from('x')),
  )
  expect(answer.remark).toMatch(remark)
  expect(answer.code).toBe(code)
  const after = fixture.broker.store?.status()
  expect(after?.maxPhysicalOffset).toBe(before?.maxPhysicalOffset)
  expect(after?.lastIndex).toBe(before?.lastIndex)
}

const badNames = ['', ' ', 'a b', '.', '..', '../up', 'a/b', 'a\\b', 'a\u0000b', 'ä', '~x']

/** Whatever the body is. */
const common: Refused[] = [
  ...badNames.map((b) => ({
    name: `the topic ${JSON.stringify(b)}`,
    ext: { b },
    code: 29,
    remark: b.trim() === '' ? /^The specified topic is blank\.$/ : /contains illegal characters, allowing only/,
  })),
  {
    name: 'a topic of 128 characters',
    ext: { b: 'x'.repeat(128) },
    code: 29,
    remark: /is longer than topic max length: 127$/,
  },
  {
    name: 'a retry topic of 256 characters',
    ext: { b: `%RETRY%${'x'.repeat(249)}` },
    code: 29,
    remark: /DLQ or Retry topic: .* it's longer than topic max length: 255$/,
  },
  { name: 'the schedule topic', ext: { b: 'SCHEDULE_TOPIC_XXXX' }, code: 16, remark: /is forbidden\.$/ },
  { name: 'the half topic', ext: { b: 'RMQ_SYS_TRANS_HALF_TOPIC' }, code: 16, remark: /is forbidden\.$/ },
  { name: 'the topic of the timers', ext: { b: 'rmq_sys_wheel_timer' }, code: 16, remark: /is forbidden\.$/ },
  {
    name: 'a delay of more than three days',
    ext: { b: 'Two', i: 'TIMER_DELAY_SEC\u0001259201\u0002' },
    code: 13,
    remark: /delayed by 259200000 ms|the batch is illegal/,
  },
  {
    name: 'a time that is none',
    ext: { b: 'Two', i: 'TIMER_DELIVER_MS\u0001x\u0002' },
    code: 13,
    remark: /no whole number|the batch is illegal/,
  },
  { name: "the store's own topic", ext: { b: 'rmq_sys_dledger' }, code: 16, remark: /is forbidden\.$/ },
  {
    name: 'an unknown topic without a model',
    ext: { b: 'New', c: 'Two' },
    code: 17,
    remark: /^topic\[New\] not exist, apply first please!/,
  },
  {
    name: 'a topic without write permission',
    ext: { b: 'ReadOnly' },
    code: 16,
    remark: /^the topic\[ReadOnly\] sending message is forbidden$/,
  },
  ...['2', '65536', '2147483647'].map((e) => ({
    name: `queue ${e} of two`,
    ext: { b: 'Two', e },
    code: 29,
    remark: new RegExp(
      `^request queueId\\[${e}\\] is illegal, TopicConfig \\[topicName=Two, readQueueNums=2, writeQueueNums=2, perm=RW-`,
    ),
  })),
  ...['x', '', '1.5', '99999999999'].map((e) => ({
    name: `a queue id that is no number: ${JSON.stringify(e)}`,
    ext: { b: 'Two', e },
    code: 1,
    remark: /queueId|\be\b/,
  })),
  {
    name: 'a body over the limit',
    ext: { b: 'Two' },
    body: 'x'.repeat(MAX_MESSAGE_BYTES + 1),
    code: 13,
    remark: LIMITS,
  },
  { name: 'no body', ext: { b: 'Two' }, body: '', code: 13, remark: LIMITS },
  { name: 'no body, to a topic that is not there', ext: { b: 'NotMade' }, body: '', code: 13, remark: LIMITS },
  {
    name: 'properties over the limit',
    ext: { b: 'Two', i: `a\u0001${'x'.repeat(32_768)}\u0002` },
    code: 13,
    remark: LIMITS,
  },
  { name: 'an inner batch by flag', ext: { b: 'Two', f: '128' }, code: 13, remark: /inner batches/ },
  {
    name: 'an inner batch by property',
    ext: { b: 'Two', i: 'INNER_NUM\u00012\u0002' },
    code: 13,
    remark: /inner batches/,
  },
]

describe.each([RequestCode.SEND_MESSAGE, RequestCode.SEND_MESSAGE_V2, RequestCode.SEND_BATCH_MESSAGE])(
  'refused through %i',
  (request) => {
    const ext = (row: Refused): ExtFields =>
      request === RequestCode.SEND_BATCH_MESSAGE ? { m: 'true', ...row.ext } : row.ext
    test.each(common)('$name: $code', async (row) => {
      await expectRefusal(request, { ...row, ext: ext(row) })
    })
    test('answers carry what clients read of every send', async () => {
      const answer = await client.send('', { ...sendFields(), b: 'Two' }, RequestCode.SEND_MESSAGE_V2)
      expect(answer.extFields).toMatchObject({ MSG_REGION: 'DefaultRegion', TRACE_ON: 'true' })
    })
  },
)

describe.each([RequestCode.SEND_MESSAGE, RequestCode.SEND_MESSAGE_V2])(
  'a single message refused through %i',
  (request) => {
    const rows: Refused[] = [
      {
        name: 'properties over the limit with what is added',
        ext: { b: 'Two', i: `a\u0001${'x'.repeat(32_760)}\u0002` },
        code: 13,
        remark: /properties: \d+ bytes, at most 32767/,
      },
      {
        name: 'few characters of properties, and many bytes',
        ext: { b: 'Two', i: `a\u0001${'ä'.repeat(16_384)}\u0002` },
        code: 13,
        remark: /properties: \d+ bytes, at most 32767/,
      },
      {
        name: 'so many properties',
        ext: { b: 'Two', i: Array.from({ length: 5_000 }, (_, i) => `k${i}\u0001v\u0002`).join('') },
        code: 13,
        remark: LIMITS,
      },
      {
        name: 'a half message',
        ext: { b: 'Two', f: '4', i: 'TRAN_MSG\u0001true\u0002PGROUP\u0001pg\u0002' },
        code: 16,
        remark: /transaction message is forbidden/,
      },
      { name: 'a retry topic of no group', ext: { b: '%RETRY%' }, code: 26, remark: /^subscription group not exist, / },
    ]
    test.each(rows)('$name: $code', async (row) => {
      // A retry topic is made before its group is looked for, as Apache does.
      if (row.code === 26) await client.send('x', { ...sendFields(), ...row.ext })
      await expectRefusal(request, row)
    })
  },
)

describe('a batch refused', () => {
  const batch = (properties: string, count = 1, body = 'x'): Buffer =>
    encodeBatchBody(Array.from({ length: count }, () => ({ flag: 0, body: Buffer.from(body), properties })))
  const cut = batch('TAGS\u0001a\u0002', 3)
  const broken = (at: number, value: number): Buffer => {
    const bytes = Buffer.from(cut)
    bytes.writeInt32BE(value, at)
    return bytes
  }
  const illegal = /^the batch is illegal: /
  const rows: Refused[] = [
    {
      name: 'to a retry topic',
      ext: { b: '%RETRY%g' },
      body: cut,
      code: 13,
      remark: /does not support retry group %RETRY%g/,
    },
    { name: 'that is none', ext: {}, body: 'nonsense', code: 13, remark: illegal },
    { name: 'that ends in a message', ext: {}, body: cut.subarray(0, -1), code: 13, remark: illegal },
    { name: 'of a message of negative size', ext: {}, body: broken(0, -1), code: 13, remark: illegal },
    { name: 'of a message larger than all', ext: {}, body: broken(0, 0x7fffffff), code: 13, remark: illegal },
    { name: 'of a body longer than its message', ext: {}, body: broken(16, 0x7fffffff), code: 13, remark: illegal },
    { name: 'of a negative body', ext: {}, body: broken(16, -5), code: 13, remark: illegal },
    { name: 'with a delayed message', ext: {}, body: batch('DELAY\u00011\u0002', 2), code: 13, remark: illegal },
    { name: 'with a half message', ext: {}, body: batch('TRAN_MSG\u0001true\u0002', 2), code: 13, remark: illegal },
    { name: 'with an inner batch', ext: {}, body: batch('INNER_NUM\u00012\u0002'), code: 13, remark: illegal },
    {
      name: 'of too many messages',
      ext: {},
      body: batch('', BATCH_COUNT_MAX + 1),
      code: 13,
      remark: /it has 16385 messages, 16384 are allowed/,
    },
    {
      name: 'of which one has too many properties with what is added',
      ext: {},
      body: Buffer.concat([cut, batch(`a\u0001${'x'.repeat(32_700)}\u0002`), cut]),
      code: 13,
      remark: /properties: \d+ bytes, at most 32767/,
    },
  ]
  test.each(rows)('$name: $code', async (row) => {
    await expectRefusal(RequestCode.SEND_BATCH_MESSAGE, { ...row, ext: { b: 'Two', m: 'true', i: '', ...row.ext } })
  })

  test('stores nothing of it, and the next send takes the next offset', async () => {
    const first = await client.send('x', { b: 'Two' })
    await expectRefusal(RequestCode.SEND_BATCH_MESSAGE, {
      name: '',
      ext: { b: 'Two', m: 'true', i: '' },
      body: Buffer.concat([cut, batch(`a\u0001${'x'.repeat(32_700)}\u0002`)]),
      code: 13,
      remark: /properties/,
    })
    const next = await client.send('x', { b: 'Two' })
    expect(Number(next.extFields?.['queueOffset'])).toBe(Number(first.extFields?.['queueOffset']) + 1)
  })
})

test('what was refused made no topic', () => {
  expect(fixture.broker.store?.topics().has('NotMade')).toBe(false)
  expect(fixture.broker.store?.topics().has('New')).toBe(false)
})
