/** Pops and acknowledges as a client does: the strings of an answer are put together to those that name a message later. */
import { decodeRecords, getProperty, type MessageRecord } from '@dledger-ts/protocol'
import { type ExtFields, type RemotingCommand, RequestCode } from '@dledger-ts/remoting'
import type { TestClient } from './broker-fixture.ts'

export interface PoppedRecord {
  readonly record: MessageRecord
  readonly body: string
  readonly extraInfo: string
}

export interface PopAnswer {
  readonly code: number
  readonly fields: ExtFields
  readonly messages: readonly PoppedRecord[]
}

/** POP_MESSAGE of group g, topic T, any queue, for a minute, from the first message on, without waiting, unless told otherwise. */
export function popFields(): ExtFields {
  return {
    consumerGroup: 'g',
    topic: 'T',
    queueId: '-1',
    maxMsgNums: '32',
    invisibleTime: '60000',
    pollTime: '0',
    bornTime: '0',
    initMode: '0',
    expType: 'TAG',
    exp: '*',
    order: 'false',
  }
}

export async function pop(client: TestClient, extFields: ExtFields = {}): Promise<PopAnswer> {
  return readPop(await client.call(RequestCode.POP_MESSAGE, { ...popFields(), ...extFields }))
}

export function readPop(answer: RemotingCommand): PopAnswer {
  const fields = answer.extFields ?? {}
  const starts = new Map((fields['startOffsetInfo'] ?? '').split(';').map((one) => keyAndRest(one)))
  const messages = decodeRecords(answer.code === 0 ? answer.bodyBytes : Buffer.alloc(0)).map((record) => {
    const { queueId, queueOffset, properties } = record
    const start = starts.get(`0 ${queueId}`)
    const { popTime, invisibleTime, reviveQid } = fields
    const own = `${start} ${popTime} ${invisibleTime} ${reviveQid} 0 b ${queueId} ${queueOffset}`
    return { record, body: record.body.toString(), extraInfo: getProperty(properties, 'POP_CK') ?? own }
  })
  return { code: answer.code, fields, messages }
}

/** The fields that name a popped message, for an acknowledgement or another time. */
export function naming(message: PoppedRecord, extFields: ExtFields = {}): ExtFields {
  const [, , , , flag, , queueId, offset] = message.extraInfo.split(' ')
  const group = extFields['consumerGroup'] ?? 'g'
  const topic = extFields['topic'] ?? message.record.topic
  const real = flag === '1' ? `%RETRY%${group}_${topic}` : flag === '2' ? `%RETRY%${group}+${topic}` : topic
  return {
    consumerGroup: group,
    queueId: queueId as string,
    extraInfo: message.extraInfo,
    offset: offset as string,
    ...extFields,
    topic: real,
  }
}

export async function ack(client: TestClient, message: PoppedRecord, extFields: ExtFields = {}): Promise<number> {
  return (await client.call(RequestCode.ACK_MESSAGE, naming(message, extFields))).code
}

function keyAndRest(text: string): [string, string] {
  const at = text.lastIndexOf(' ')
  return [text.slice(0, at), text.slice(at + 1)]
}
