/** What each request needs: every code that is served has its entry, and what it names is what it needs. */
import {
  createRequest,
  encodeCheckClientConfig,
  encodeHeartbeat,
  encodeLockBatchRequest,
  encodeTopicConfigList,
  type ExtFields,
  topicConfig,
} from '@dledger-ts/remoting'
import { expect, test } from 'vitest'
import { consumerData, heartbeatData, startBroker, subscriptionData } from '../testing/broker-fixture.ts'
import { hasRule, needsOf } from './needs.ts'

/** As `Topic:T Pub|Get`. */
function needs(code: number, extFields?: ExtFields, body?: Buffer | object): string[] {
  const bytes = body === undefined || Buffer.isBuffer(body) ? body : Buffer.from(JSON.stringify(body))
  return needsOf(createRequest(code, extFields, bytes), 'C').map(
    ({ type, name, actions }) => `${type}:${name} ${actions.join('|')}`,
  )
}

test('every code that a broker serves has an entry', async () => {
  const fixture = await startBroker()
  const { requestCodes } = fixture.broker
  await fixture.close()
  expect(requestCodes.length).toBeGreaterThan(50)
  expect(requestCodes.filter((code) => !hasRule(code))).toEqual([])
})

test('a code without an entry needs everything on the cluster', () => {
  expect(hasRule(9_999)).toBe(false)
  expect(needs(9_999, { topic: 'T' })).toEqual(['Cluster:C All'])
})

test.each<[string, number, ExtFields, string[]]>([
  ['a send', 10, { topic: 'T', producerGroup: 'p' }, ['Topic:T Pub']],
  ['a send, V2', 310, { a: 'p', b: 'T' }, ['Topic:T Pub']],
  ['a batch', 320, { a: 'p', b: 'T' }, ['Topic:T Pub']],
  ['a send to a retry topic', 310, { a: 'p', b: '%RETRY%g' }, ['Group:g Sub']],
  ['an answer', 325, { b: 'C_REPLY_TOPIC' }, []],
  ['an answer that goes elsewhere', 325, { b: 'T' }, ['Topic:T Pub']],
  ['an answer, V1', 324, { topic: 'T' }, ['Topic:T Pub']],
  ['a send-back', 36, { group: 'g', originTopic: 'T' }, ['Group:g Sub']],
  ['the end of a transaction', 37, { topic: 'T' }, ['Topic:T Pub']],
  ['the end of a transaction of Go', 37, {}, []],
  ['a recall', 370, { topic: 'T' }, ['Topic:T Pub']],
  ['a pull', 11, { consumerGroup: 'g', topic: 'T' }, ['Group:g Sub', 'Topic:T Sub']],
  ['a lite pull', 361, { consumerGroup: 'g', topic: 'T' }, ['Group:g Sub', 'Topic:T Sub']],
  ['a pull of the own retry topic', 11, { consumerGroup: 'g', topic: '%RETRY%g' }, ['Group:g Sub']],
  ["a pull of another's", 11, { consumerGroup: 'g', topic: '%RETRY%h' }, ['Group:g Sub', 'Group:h Sub']],
  ['what was popped', 200_051, { consumerGroup: 'g', topic: '%RETRY%g_T' }, ['Group:g Sub', 'Topic:T Sub']],
  ['what was popped, V2', 200_051, { consumerGroup: 'g', topic: '%RETRY%g+T' }, ['Group:g Sub', 'Topic:T Sub']],
  ['a pull that names nothing', 11, {}, ['Group: Sub', 'Topic: Sub']],
  ['a query', 12, { topic: 'T' }, ['Topic:T Sub|Get']],
  ['a query by offset', 14, { consumerGroup: 'g', topic: 'T' }, ['Group:g Sub|Get', 'Topic:T Sub|Get']],
  ['a commit', 15, { consumerGroup: 'g', topic: 'T' }, ['Group:g Sub|Update', 'Topic:T Sub|Update']],
  ['a message by its place, of an old client', 33, { offset: '1' }, ['Cluster:C Sub|Get']],
  ['the members of a group', 38, { consumerGroup: 'g' }, ['Group:g Sub|Get']],
  ['the end of a producer', 35, { producerGroup: 'p' }, []],
  ['the end of a consumer', 35, { consumerGroup: 'g' }, ['Group:g Sub']],
  ['a new topic', 17, { topic: 'T' }, ['Topic:T Create']],
  ['a topic deleted', 215, { topic: 'T' }, ['Topic:T Delete']],
  ['a group deleted', 207, { groupName: 'g' }, ['Group:g Delete']],
  ['consumption', 208, { consumerGroup: 'g', topicList: 'A;B' }, ['Group:g Get', 'Topic:A Get', 'Topic:B Get']],
  ['offsets set', 222, { group: 'g', topic: 'T' }, ['Group:g Update', 'Topic:T Update']],
  [
    'offsets copied',
    314,
    { srcGroup: 's', destGroup: 'd', topic: 'T' },
    ['Group:s Get', 'Group:d Update', 'Topic:T Update'],
  ],
  ['all topics', 21, {}, ['Cluster:C Get']],
  ['the configuration', 26, {}, ['Cluster:C Get']],
  ['the configuration changed', 25, {}, ['Cluster:C Update']],
  ['a user made', 3001, { username: 'u' }, ['Cluster:C Update']],
  ['users listed', 3005, {}, ['Cluster:C Get']],
])('%s (%i)', (_name, code, extFields, expected) => {
  expect(needs(code, extFields)).toEqual(expected)
})

test('a heartbeat needs what it consumes; a producer nothing', () => {
  const consumer = consumerData('g', subscriptionData('T', '*', 1), subscriptionData('%RETRY%g', '*', 1))
  const body = encodeHeartbeat(heartbeatData({ consumerDataSet: [consumer], producerDataSet: [{ groupName: 'p' }] }))
  expect(needs(34, undefined, body)).toEqual(['Group:g Sub', 'Topic:T Sub'])
  expect(needs(34, undefined, encodeHeartbeat(heartbeatData({ producerDataSet: [{ groupName: 'p' }] })))).toEqual([])
})

test('what stands in bodies is needed', () => {
  const mqSet = ['T', 'T', 'U'].map((topic, queueId) => ({ topic, brokerName: 'b', queueId }))
  const locks = encodeLockBatchRequest({ consumerGroup: 'g', clientId: 'c', mqSet, onlyThisBroker: false })
  for (const code of [41, 42]) expect(needs(code, {}, locks)).toEqual(['Group:g Sub', 'Topic:T Sub', 'Topic:U Sub'])
  const check = { clientId: 'c', group: 'g', namespace: undefined, subscriptionData: subscriptionData('T', '*', 1) }
  expect(needs(46, {}, encodeCheckClientConfig(check))).toEqual(['Group:g Sub', 'Topic:T Sub'])
  expect(needs(400, {}, { consumerGroup: 'g', topic: 'T' })).toEqual(['Group:g Sub', 'Topic:T Sub'])
  expect(needs(401, {}, { consumerGroup: 'g', topic: 'T', mode: 'POP' })).toEqual(['Group:g Update', 'Topic:T Update'])
  const topics = encodeTopicConfigList(['A', 'B'].map((topicName) => topicConfig({ topicName })))
  expect(needs(18, {}, topics)).toEqual(['Topic:A Create', 'Topic:B Create'])
  expect(needs(200, {}, { groupName: 'g' })).toEqual(['Group:g Create'])
  const list = { groupName: 'h', groupConfigList: [{ groupName: 'g' }] }
  expect(needs(225, {}, list)).toEqual(['Group:h Create', 'Group:g Create'])
  expect(needs(200, {}, [])).toEqual(['Cluster:C Create'])
  const acks = [
    { c: 'g', t: 'T', b: '' },
    { c: 'g', t: 'T', b: '' },
    { c: 'h', t: 'U', b: '' },
  ]
  expect(needs(200_151, {}, { acks })).toEqual(['Group:g Sub', 'Topic:T Sub', 'Group:h Sub', 'Topic:U Sub'])
})
