/** Who is let in as a slave, and what a master says of the logs of others. */
import { silentLogger } from '@dledger-ts/base'
import {
  type Connection,
  createRequest,
  JoinAsSlaveRequest,
  JoinAsSlaveResponse,
  RequestCode,
  ResponseCode,
} from '@dledger-ts/remoting'
import { expect, test } from 'vitest'
import type { BrokerContext } from '../context.ts'
import { JoinSeal } from '../slaves/join-seal.ts'
import { SLAVES_MAX, slaveProcessors } from './slave.ts'

interface Slave {
  readonly id: string
  readonly address?: string
  readonly isConnected: boolean
}

/** A master whose log has 100 entries of term 3, the first 50 of them of the master `former`. */
function master({ classic = 'master' as string | null, isReady = true, isHeldUp = false, credentials = '' } = {}) {
  const slaves: Slave[] = []
  const letIn: string[] = []
  const copies = {
    standing: () => ({
      id: 'n0',
      storeId: 'own',
      masterStore: 'own',
      lastIndex: 99,
      lastTerm: 3,
      commitIndex: 99,
      commitTerm: 3,
      isGuessed: false,
    }),
    masterStanding: () => ({
      storeId: 'own',
      lastIndex: 99,
      formers: [{ storeId: 'former', lastIndex: 49 }],
      isGuessed: (index: number) => index === 77,
      termAt: (index: number) => (index <= 99 ? 3 : -1),
    }),
    ownAddress: '10.0.0.1:10912',
    isHeldUp,
    slaves: () => slaves,
    add: async (id: string, address: string) => {
      await Promise.resolve()
      if (address === 'failing:1') throw new Error('not added')
      letIn.push(`${id} ${address}`)
      const at = slaves.findIndex((slave) => slave.id === id)
      slaves.splice(at < 0 ? slaves.length : at, 1, { id, address, isConnected: true })
    },
    remove: async (id: string) => {
      await Promise.resolve()
      slaves.splice(
        slaves.findIndex((slave) => slave.id === id),
        1,
      )
    },
  }
  const context = {
    config: { classic, brokerName: 'b', innerClientAuthenticationCredentials: credentials },
    store: { copies, isReady: () => isReady },
    logger: silentLogger,
  }
  const [[, { handle }] = [0, { handle: () => undefined }]] = slaveProcessors(context as unknown as BrokerContext)
  const join = async (fields: Record<string, string> = {}, asks: 'to be let in' | 'only' = 'to be let in') => {
    const standing = { masterStore: 'own', lastIndex: '99', lastTerm: '3', commitIndex: '99', commitTerm: '3' }
    const address = asks === 'only' ? {} : { haAddress: 'h:1' }
    const given = { brokerName: 'b', memberId: 's1', storeId: 'other', ...standing, ...address, ...fields }
    const request = createRequest(RequestCode.JOIN_AS_SLAVE, given)
    const response = await handle(null as unknown as Connection, request)
    if (response === undefined || !('code' in response)) throw new Error('it is answered')
    if (response.code !== ResponseCode.SUCCESS) return response.code
    return JoinAsSlaveResponse.decode(response.extFields)
  }
  return { slaves, letIn, join }
}

test('a copy that fits is let in, and told whom to follow', async () => {
  const { join, letIn } = master()
  expect(await join()).toEqual({
    verdict: 'FITS',
    lastIndex: -1,
    memberId: 'n0',
    storeId: 'own',
    haAddress: '10.0.0.1:10912',
  })
  expect(letIn).toEqual(['s1 h:1'])
})

test('a copy that went its own way, or is of another master, is told so and not let in', async () => {
  const { join, letIn } = master()
  const parted = { masterStore: 'former', lastIndex: '60' }
  expect(await join(parted)).toMatchObject({ verdict: 'PARTED', lastIndex: 49 })
  expect(await join({ masterStore: 'unknown' })).toMatchObject({ verdict: 'FOREIGN' })
  expect(letIn).toEqual([])
})

test('a former master that only asks is told that it was replaced', async () => {
  const { join, letIn } = master()
  const former = { storeId: 'former', masterStore: 'former', lastIndex: '60' }
  expect(await join(former, 'only')).toMatchObject({ verdict: 'REPLACED', lastIndex: 49 })
  expect(letIn).toEqual([])
})

test('with credentials, who does not prove to have the same is let in nowhere and told nothing: 16', async () => {
  const credentials = { accessKey: 'inner', secretKey: 'secret of it' }
  const { join, letIn } = master({ credentials: JSON.stringify(credentials) })
  expect(await join()).toBe(ResponseCode.NO_PERMISSION)
  expect(await join({ nonce: 'n', seal: 's' })).toBe(ResponseCode.NO_PERMISSION)
  expect(await join({}, 'only')).toBe(ResponseCode.NO_PERMISSION)
  expect(letIn).toEqual([])
})

test('with credentials, who has the same is answered with a proof of them', async () => {
  const credentials = { accessKey: 'inner', secretKey: 'secret of it' }
  const { join, letIn } = master({ credentials: JSON.stringify(credentials) })
  const seal = new JoinSeal(credentials)
  const ends = { lastIndex: 99, lastTerm: 3, commitIndex: 99, commitTerm: 3 }
  const own = { brokerName: 'b', memberId: 's1', storeId: 'other', masterStore: 'own', haAddress: 'h:1', ...ends }
  const asked = seal.sealRequest(own)
  const answer = await join(JoinAsSlaveRequest.encode(asked) as Record<string, string>)
  if (typeof answer === 'number') throw new Error(`${answer}`)
  expect(answer.verdict).toBe('FITS')
  expect(seal.isAnswer(asked, answer)).toBe(true)
  expect(letIn).toEqual(['s1 h:1'])
})

test('who is no master, or of another name, lets nobody in: 16', async () => {
  expect(await master({ classic: null }).join()).toBe(ResponseCode.NO_PERMISSION)
  expect(await master({ classic: 'slave' }).join()).toBe(ResponseCode.NO_PERMISSION)
  expect(await master().join({ brokerName: 'c' })).toBe(ResponseCode.NO_PERMISSION)
  expect(await master().join({ memberId: 'n0' })).toBe(ResponseCode.NO_PERMISSION)
})

test('a master that does not take messages yet says so: 14', async () => {
  expect(await master({ isReady: false }).join()).toBe(ResponseCode.SERVICE_NOT_AVAILABLE)
})

test('one that waits for a repair takes its slaves for that, and adds none: 14', async () => {
  const { join, slaves, letIn } = master({ isReady: false, isHeldUp: true })
  slaves.push({ id: 's1', isConnected: false })
  expect(await join()).toMatchObject({ verdict: 'FITS' })
  expect(await join({ memberId: 's2' })).toBe(ResponseCode.SERVICE_NOT_AVAILABLE)
  // It would put aside what may be missing here.
  expect(await join({ masterStore: 'former' })).toBe(ResponseCode.SERVICE_NOT_AVAILABLE)
  expect(await join({ masterStore: 'unknown' })).toMatchObject({ verdict: 'FOREIGN' })
  expect(letIn).toEqual([])
})

test('nothing is said of a copy where what would tell is damaged: 14', async () => {
  const { join, letIn } = master()
  expect(await join({ commitIndex: '77' })).toBe(ResponseCode.SERVICE_NOT_AVAILABLE)
  expect(await join({ commitIndex: '77', commitTerm: '2' })).toBe(ResponseCode.SERVICE_NOT_AVAILABLE)
  expect(letIn).toEqual([])
})

test('there are no more slaves than so many; one that is not connected gives way', async () => {
  const { join, slaves } = master()
  for (let i = 0; i < SLAVES_MAX; i++) slaves.push({ id: `s${10 + i}`, isConnected: true })
  expect(await join()).toBe(ResponseCode.NO_PERMISSION)
  expect(await join({ memberId: 's10' })).toMatchObject({ verdict: 'FITS' })
  slaves.splice(3, 1, { id: 's13', isConnected: false })
  expect(await join()).toMatchObject({ verdict: 'FITS' })
  expect(slaves.map(({ id }) => id)).toContain('s1')
  expect(slaves.map(({ id }) => id)).not.toContain('s13')
})

test('those that ask at once are let in one after another: one place is taken once', async () => {
  const { join, slaves } = master()
  for (let i = 1; i < SLAVES_MAX; i++) slaves.push({ id: `s${10 + i}`, isConnected: true })
  const answers = await Promise.all([join({ memberId: 's1' }), join({ memberId: 's2' })])
  expect(answers).toEqual([expect.objectContaining({ verdict: 'FITS' }), ResponseCode.NO_PERMISSION])
  expect(slaves).toHaveLength(SLAVES_MAX)
})

test('one that could not be let in holds nobody up', async () => {
  const { join, letIn } = master()
  const failing = join({ haAddress: 'failing:1' })
  const next = join({ memberId: 's2' })
  await expect(failing).rejects.toThrow('not added')
  expect(await next).toMatchObject({ verdict: 'FITS' })
  expect(letIn).toEqual(['s2 h:1'])
})

test.each([
  { memberId: '' },
  { memberId: 's-1' },
  { memberId: 's1,s2' },
  { memberId: 's1234567890' },
  { memberId: `${'s'.repeat(64)}1` },
  { haAddress: '' },
  { haAddress: 'h' },
  { haAddress: ':1' },
  { haAddress: 'h:0' },
  { haAddress: 'h:65536' },
  { haAddress: 'h h:1' },
  { haAddress: 'h,h:1' },
  { haAddress: `${'h'.repeat(256)}:1` },
])('what no broker makes is refused with 16: %o', async (fields) => {
  const { join, letIn } = master()
  expect(await join(fields)).toBe(ResponseCode.NO_PERMISSION)
  expect(letIn).toEqual([])
})

test('there is room for so many bytes of ids and addresses', async () => {
  const { join } = master()
  const haAddress = `${'h'.repeat(255)}:1`
  for (const memberId of ['s1', 's2', 's3', 's3']) {
    expect(await join({ memberId, haAddress })).toMatchObject({ verdict: 'FITS' })
  }
  expect(await join({ memberId: 's4', haAddress })).toBe(ResponseCode.NO_PERMISSION)
  expect(await join({ memberId: 's4' })).toMatchObject({ verdict: 'FITS' })
})

test('ids and addresses as brokers make them are let in', async () => {
  const { join, letIn } = master()
  await join({ memberId: 's999999999', haAddress: `${'h'.repeat(255)}:65535` })
  await join({ memberId: 'broker_1', haAddress: 'broker-1.example.org:10912' })
  expect(letIn.map((each) => each.split(' ')[0])).toEqual(['s999999999', 'broker_1'])
})
