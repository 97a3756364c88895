/** Which queues a client consumes, and how: QUERY_ASSIGNMENT, SET_MESSAGE_REQUEST_MODE, GET_ALL_MESSAGE_REQUEST_MODE. */
import { badBody } from '../errors.ts'
import { type MessageQueue, messageQueueText } from './message-queue.ts'
import { asText, numberOr, parseObject, textOr } from './reader.ts'

export type RequestMode = 'PULL' | 'POP'

/** The body of QUERY_ASSIGNMENT. */
export interface AssignmentQuery {
  readonly topic: string
  readonly group: string
  readonly clientId: string
  readonly isBroadcast: boolean
  readonly strategy: string
}

/** The body of SET_MESSAGE_REQUEST_MODE. */
export interface RequestModeSetting {
  readonly topic: string
  readonly group: string
  readonly mode: RequestMode
  readonly popShareQueueNum: number
}

/** What is missing is empty. @throws RemotingError `BAD_BODY`. */
export function decodeAssignmentQuery(body: Buffer): AssignmentQuery {
  const value = parseObject(body, 'an assignment query')
  const text = (name: string): string => textOr(value[name], '', name)
  return {
    topic: text('topic'),
    group: text('consumerGroup'),
    clientId: text('clientId'),
    isBroadcast: text('messageModel') === 'BROADCASTING',
    strategy: text('strategyName'),
  }
}

/** @param queues null: nothing can be told, and the client keeps what it has. */
export function encodeAssignment(queues: readonly MessageQueue[] | null, mode: RequestMode): Buffer {
  if (queues === null) return Buffer.from('{}')
  const items = queues.map((queue) => `{"messageQueue":${messageQueueText(queue)},"mode":"${mode}"}`)
  return Buffer.from(`{"messageQueueAssignments":[${items.join(',')}]}`)
}

/** @throws RemotingError `BAD_BODY`. */
export function decodeRequestMode(body: Buffer): RequestModeSetting {
  const value = parseObject(body, 'a request mode')
  const mode = textOr(value['mode'], 'PULL', 'mode')
  if (mode !== 'PULL' && mode !== 'POP') throw badBody(`${JSON.stringify(mode)} is no request mode, PULL and POP are`)
  return {
    topic: asText(value['topic'], 'topic'),
    group: asText(value['consumerGroup'], 'consumerGroup'),
    mode,
    popShareQueueNum: numberOr(value['popShareQueueNum'], 0, 'popShareQueueNum'),
  }
}

export function encodeRequestModes(settings: Iterable<RequestModeSetting>): Buffer {
  // Entries, for a topic may be called like a property that every object has.
  const topics = new Map<string, [string, RequestModeEntry][]>()
  for (const { topic, group, mode, popShareQueueNum } of settings) {
    const groups = topics.get(topic) ?? []
    groups.push([group, { consumerGroup: group, mode, popShareQueueNum, topic }])
    topics.set(topic, groups)
  }
  const map = Object.fromEntries([...topics].map(([topic, groups]) => [topic, Object.fromEntries(groups)]))
  return Buffer.from(JSON.stringify({ messageRequestModeMap: map }))
}

interface RequestModeEntry {
  readonly consumerGroup: string
  readonly mode: RequestMode
  readonly popShareQueueNum: number
  readonly topic: string
}
