/** A store of ours with a record of every kind: what Apache's classes and its broker are to read. */
import { deflateSync } from 'node:zlib'
import { hostAddress, MessageSysFlag } from '@dledger-ts/protocol'
import { defaultSubscriptionGroupConfig, MessageStore, type NewMessage, type PutResult } from '@dledger-ts/store'
import { untilTrue } from '../processes/group/until.ts'

export const KINDS_TOPIC = 'Kinds'
export const KINDS_QUEUES = 4
export const LONG_TOPIC = `%RETRY%${'g'.repeat(200)}`
export const DELAY_LEVELS = '1s 5s 2h'
export const FILE_BYTES = 128 * 1024
export const QUEUE_FILE_BYTES = 2_000
/** What the index is asked: topic and key. */
export const QUESTIONS: readonly (readonly [topic: string, key: string])[] = [
  [KINDS_TOPIC, 'key1'],
  [KINDS_TOPIC, 'key3'],
  [KINDS_TOPIC, 'schlüssel'],
  [KINDS_TOPIC, 'U7'],
  [KINDS_TOPIC, 'rolled'],
  [KINDS_TOPIC, 'absent'],
  [LONG_TOPIC, 'key1'],
]

const UNTIL_MS = 20_000
const LARGE_BODY_BYTES = 50_000
const IPV4 = hostAddress('127.0.0.1', 10911)
const IPV6 = hostAddress('2001:db8::17', 40_000)

const block = (properties: Record<string, string>): string =>
  Object.entries(properties)
    .map(([name, value]) => `${name}\x01${value}\x02`)
    .join('')

function kind(body: Buffer | string, properties: Record<string, string>, more: Partial<NewMessage> = {}): NewMessage {
  return {
    topic: KINDS_TOPIC,
    queueId: 0,
    flag: 0,
    sysFlag: 0,
    bornTimestamp: 1_700_000_000_000,
    bornHost: IPV4,
    storeHost: IPV4,
    reconsumeTimes: 0,
    preparedTransactionOffset: 0,
    body: Buffer.from(body),
    properties: block(properties),
    ...more,
  }
}

function largeBody(seed: number): Buffer {
  const body = Buffer.alloc(LARGE_BODY_BYTES)
  for (let i = 0; i < body.length; i++) body[i] = (i * 31 + seed * 17 + (i >> 7)) & 0xff
  return body
}

/** All kinds that follow from nothing else. */
function kinds(): NewMessage[] {
  const zipped = deflateSync(Buffer.from('compressed '.repeat(2_000)))
  const { COMPRESSED } = MessageSysFlag
  const ZLIB = 0x300
  return [
    kind('tags and keys', { TAGS: 'TagA', KEYS: 'key1', UNIQ_KEY: 'U0' }),
    kind('several keys', { TAGS: 'TagA', KEYS: 'key1 key2 key3', UNIQ_KEY: 'U1' }, { queueId: 1 }),
    kind('neither', {}, { queueId: 2 }),
    kind('Grüße, 世界', { TAGS: 'Täg-標籤', KEYS: 'schlüssel', 名前: '値 😀', UNIQ_KEY: 'U2' }, { queueId: 1 }),
    kind('', { TAGS: 'TagE', UNIQ_KEY: 'U3' }),
    kind('one hash', { TAGS: 'Aa', UNIQ_KEY: 'U4' }),
    kind('the same hash', { TAGS: 'BB', UNIQ_KEY: 'U5' }),
    kind(zipped, { TAGS: 'TagZ', UNIQ_KEY: 'U6' }, { sysFlag: COMPRESSED | ZLIB }),
    kind(zipped, { TAGS: 'TagZ', UNIQ_KEY: 'U7' }, { sysFlag: COMPRESSED }),
    kind('from IPv6', { UNIQ_KEY: 'U8' }, { bornHost: IPV6 }),
    kind('at IPv6', { UNIQ_KEY: 'U9' }, { storeHost: IPV6 }),
    kind('both IPv6', { TAGS: 'Six', KEYS: 'key1', UNIQ_KEY: 'U10' }, { bornHost: IPV6, storeHost: IPV6, flag: -7 }),
    kind('half', { UNIQ_KEY: 'U11', KEYS: 'half' }, { sysFlag: MessageSysFlag.TRANSACTION_PREPARED }),
    kind('rolled back', { UNIQ_KEY: 'U12', KEYS: 'rolled' }, { sysFlag: MessageSysFlag.TRANSACTION_ROLLBACK }),
    kind('half of today', { UNIQ_KEY: 'U13', REAL_TOPIC: KINDS_TOPIC }, { topic: 'RMQ_SYS_TRANS_HALF_TOPIC' }),
    kind(
      'committed',
      { UNIQ_KEY: 'U13', TAGS: 'TagT', TRAN_MSG: 'true' },
      { sysFlag: MessageSysFlag.TRANSACTION_COMMIT, preparedTransactionOffset: 4_711, queueId: 3 },
    ),
    kind('again', { UNIQ_KEY: 'U14', RETRY_TOPIC: KINDS_TOPIC }, { topic: '%RETRY%KindsCG', reconsumeTimes: 1 }),
    kind('dead', { UNIQ_KEY: 'U15' }, { topic: '%DLQ%KindsCG', reconsumeTimes: 16 }),
    kind('a long topic', { UNIQ_KEY: 'U16', KEYS: 'key1' }, { topic: LONG_TOPIC }),
    ...Array.from({ length: 9 }, (_, i) =>
      kind(largeBody(i), { TAGS: 'Large', UNIQ_KEY: `L${i}` }, { queueId: i % KINDS_QUEUES }),
    ),
    // More entries than a file of a ConsumeQueue holds.
    ...Array.from({ length: 120 }, (_, i) =>
      kind(`filler ${i}`, { TAGS: `T${i % 3}`, UNIQ_KEY: `F${i}` }, { queueId: 3 }),
    ),
    kind('two hours', { UNIQ_KEY: 'U17', DELAY: '3' }),
    kind('one second', { UNIQ_KEY: 'U18', DELAY: '1', TAGS: 'Delayed' }, { queueId: 2 }),
  ]
}

/**
 * Writes a store whose directory is laid out as that of Apache's broker, in two lives, with the delayed message of one second
 * delivered.
 */
export async function writeKinds(dir: string): Promise<void> {
  const open = (): Promise<MessageStore> =>
    MessageStore.open({
      dir,
      commitLogDir: dir,
      group: 'RaftNode00',
      fileBytes: FILE_BYTES,
      consumeQueueFileBytes: QUEUE_FILE_BYTES,
      messageDelayLevel: DELAY_LEVELS,
      flushDiskType: 'ASYNC_FLUSH',
      storeHost: IPV4,
    })
  const first = await open()
  await first.createGroup(defaultSubscriptionGroupConfig('KindsCG'))
  for (const message of kinds()) await first.store(message)
  const batch = [0, 1, 2].map((i) => kind(`of a batch ${i}`, { TAGS: 'TagC', UNIQ_KEY: `B${i}` }, { queueId: 1 }))
  await new Promise<readonly PutResult[]>((stored, putFailed) => first.putBatch(batch, { stored, putFailed }))
  const before = first.maxOffset(KINDS_TOPIC, 2)
  await first.close()
  const second = await open()
  await second.store(kind('another term', { TAGS: 'TagA', KEYS: 'key1', UNIQ_KEY: 'U19' }))
  second.commitConsumerOffset('KindsCG', KINDS_TOPIC, 0, 3)
  // Either life may have delivered it.
  const delayed = (): boolean => second.maxOffset(KINDS_TOPIC, 2) > KINDS_IN_QUEUE_2
  await untilTrue('the delayed message is delivered', UNTIL_MS, delayed)
  if (before > KINDS_IN_QUEUE_2 + 1) throw new Error('a delayed message was delivered twice')
  await second.close()
}

/** Those of `kinds` that are put into queue 2. */
const KINDS_IN_QUEUE_2 = kinds().filter(
  ({ topic, queueId, properties }) => topic === KINDS_TOPIC && queueId === 2 && !properties.includes('DELAY'),
).length
