/** Routes as namesrvs give them, and what clients read out of them. */
import { decodeTopicRouteData, type TopicRouteData } from '@dledger-ts/remoting'
import { describe, expect, it } from 'vitest'
import { parseNamesrvAddresses } from './namesrv.ts'
import { provisionalRoute, topicRoute } from './topic-route.ts'

// Written by Java: one as it is for a client before 4.9.4, with bare keys, and the same in standard JSON.
const BARE =
  '{"brokerDatas":[{"brokerAddrs":{0:"10.0.0.2:10911",2:"10.0.0.3:10911"},"brokerName":"b","cluster":"c1","enableActingMaster":false},{"brokerAddrs":{1:"10.0.0.4:10911"},"brokerName":"a","cluster":"c1","enableActingMaster":false}],"filterServerTable":{},"queueDatas":[{"brokerName":"b","perm":6,"readQueueNums":3,"topicSysFlag":0,"writeQueueNums":2},{"brokerName":"a","perm":4,"readQueueNums":1,"topicSysFlag":0,"writeQueueNums":1}]}'
const STANDARD = BARE.replace('{0:"10.0.0.2:10911",2:', '{"0":"10.0.0.2:10911","2":').replace('{1:', '{"1":')

const read = (text: string): TopicRouteData => decodeTopicRouteData(Buffer.from(text))
const names = (queues: readonly { brokerName: string; queueId: number }[]): string[] =>
  queues.map(({ brokerName, queueId }) => `${brokerName}${queueId}`)

describe('a route', () => {
  it.each([
    { form: 'bare keys', text: BARE },
    { form: 'standard JSON', text: STANDARD },
  ])('in $form has the queues that may be read and written, in order', ({ text }) => {
    const route = topicRoute('T', read(text))
    expect(names(route.readQueues)).toEqual(['a0', 'b0', 'b1', 'b2'])
    expect(names(route.writeQueues)).toEqual(['b0', 'b1'])
    expect(route.isProvisional).toBe(false)
  })

  it('knows who leads, and whom to pull from when nobody does', () => {
    const route = topicRoute('T', read(BARE))
    expect([route.masterOf('b'), route.masterOf('a'), route.masterOf('none')]).toEqual([
      '10.0.0.2:10911',
      undefined,
      undefined,
    ])
    expect(route.memberOf('b', 2)).toBe('10.0.0.3:10911')
    expect(route.memberOf('b', 7)).toBe('10.0.0.2:10911')
    expect(route.memberOf('a', 0)).toBe('10.0.0.4:10911')
    expect(route.memberOf('none', 0)).toBeUndefined()
  })

  it('lists the addresses of all members, or of the leaders', () => {
    const route = topicRoute('T', read(BARE))
    expect(route.addresses({ mastersOnly: true })).toEqual(['10.0.0.2:10911'])
    expect(route.addresses({ mastersOnly: false })).toHaveLength(3)
  })

  it('made from the default topic has no more queues than a new topic gets', () => {
    const route = provisionalRoute('New', read(BARE), 1)
    expect([names(route.writeQueues), route.isProvisional]).toEqual([['b0'], true])
    expect(route.writeQueues[0]?.topic).toBe('New')
  })

  it('leaves out queues of a broker that it says nothing about', () => {
    const data = read(BARE)
    expect(topicRoute('T', { ...data, brokerDatas: [] }).readQueues).toEqual([])
  })
})

describe('the addresses of namesrvs', () => {
  it.each([
    { text: 'a:1', addresses: ['a:1'] },
    { text: ' a:1 ; b:2;', addresses: ['a:1', 'b:2'] },
    { text: 'a:1,b:2', addresses: ['a:1', 'b:2'] },
  ])('are read from "$text"', ({ text, addresses }) => {
    expect(parseNamesrvAddresses(text)).toEqual(addresses)
  })

  it('are at least one', () => {
    expect(() => parseNamesrvAddresses(' ; ')).toThrow('no namesrv address in " ; "')
  })
})
