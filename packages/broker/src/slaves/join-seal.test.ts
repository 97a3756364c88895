/** Whose request and whose answer is taken for one of the brokers. */
import type { JoinAsSlaveRequest, JoinAsSlaveResponse } from '@dledger-ts/remoting'
import { expect, test } from 'vitest'
import { JoinSeal } from './join-seal.ts'

const brokers = new JoinSeal({ accessKey: 'inner', secretKey: 'secret of it' })
const strangers = new JoinSeal({ accessKey: 'inner', secretKey: 'another one' })

const REQUEST: JoinAsSlaveRequest = {
  brokerName: 'b',
  memberId: 's1',
  storeId: 'copy',
  masterStore: 'own',
  lastIndex: 12,
  lastTerm: 3,
  commitIndex: 11,
  commitTerm: 2,
  haAddress: 's:2',
}
const ANSWER: JoinAsSlaveResponse = { verdict: 'FITS', lastIndex: -1, memberId: 'n0', storeId: 'own', haAddress: 'm:2' }

/** Each with one field that is another, or not there. */
function changed<T extends object>(said: T): [string, T][] {
  return Object.entries(said).flatMap(([name, value]): [string, T][] => [
    [name, { ...said, [name]: typeof value === 'number' ? value + 1 : `${String(value)}x` }],
    [name, { ...said, [name]: undefined }],
  ])
}

test('a request and its answer are those of brokers with the same credentials', () => {
  const asked = brokers.sealRequest(REQUEST)
  expect(brokers.isRequest(asked)).toBe(true)
  expect(brokers.isAnswer(asked, brokers.sealAnswer(asked, ANSWER))).toBe(true)
  expect(strangers.isRequest(asked)).toBe(false)
  expect(brokers.isAnswer(asked, strangers.sealAnswer(asked, ANSWER))).toBe(false)
  expect(brokers.isRequest(REQUEST)).toBe(false)
  expect(brokers.isAnswer(asked, ANSWER)).toBe(false)
})

test('nothing of either is changed on the way', () => {
  const asked = brokers.sealRequest(REQUEST)
  const answer = brokers.sealAnswer(asked, ANSWER)
  expect(changed(asked).filter(([, request]) => brokers.isRequest(request))).toEqual([])
  expect(changed(answer).filter(([, given]) => brokers.isAnswer(asked, given))).toEqual([])
  expect(changed(asked).length + changed(answer).length).toBe(2 * (11 + 6))
})

test('an answer is one to its own request: not to the same one asked again, nor to that of another log', () => {
  const asked = brokers.sealRequest(REQUEST)
  const answer = brokers.sealAnswer(asked, ANSWER)
  expect(brokers.isAnswer(brokers.sealRequest(REQUEST), answer)).toBe(false)
  expect(brokers.isAnswer(brokers.sealRequest({ ...REQUEST, storeId: 'other' }), answer)).toBe(false)
})

test('what is left out is none of the texts that may be there', () => {
  const { masterStore: _, ...empty } = REQUEST
  const asked = brokers.sealRequest(empty)
  expect(brokers.isRequest(asked)).toBe(true)
  for (const masterStore of ['', 'null', 'undefined']) expect(brokers.isRequest({ ...asked, masterStore })).toBe(false)
})
