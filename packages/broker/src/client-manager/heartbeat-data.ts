/**
 * The body of HEART_BEAT (34), read leniently: what is missing or of another type becomes its default, so that one odd field of
 * one client library never loses the whole heartbeat. Limits hold before anything is kept.
 */
import { parseFastJson } from '@dledger-ts/remoting'
import { buildSubscription, type Subscription } from './subscription.ts'

export type MessageModel = 'CLUSTERING' | 'BROADCASTING'

export interface ConsumerData {
  readonly group: string
  readonly consumeType: string
  readonly messageModel: MessageModel
  readonly consumeFromWhere: string
  readonly subscriptions: readonly Subscription[]
}
export interface HeartbeatData {
  readonly clientId: string
  readonly consumers: readonly ConsumerData[]
  readonly producerGroups: readonly string[]
  /** 0: first version of the heartbeat. */
  readonly fingerprint: number
  readonly withoutSubscriptions: boolean
}

/** Groups of one client, and topics of one group, beyond which a heartbeat is refused. */
const GROUPS_MAX = 10_000
const SUBSCRIPTIONS_MAX = 10_000
const NAME_LENGTH_MAX = 255

/** @returns null when the body is no heartbeat. */
export function decodeHeartbeat(body: Buffer): HeartbeatData | null {
  const root = asObject(parseFastJson(body))
  const clientId = root === null ? '' : asText(root['clientID'])
  if (root === null || clientId === '' || clientId.length > 4 * NAME_LENGTH_MAX) return null
  const consumers: ConsumerData[] = []
  for (const item of asArray(root['consumerDataSet'], GROUPS_MAX)) {
    const consumer = decodeConsumer(asObject(item))
    if (consumer !== null) consumers.push(consumer)
  }
  const producerGroups: string[] = []
  for (const item of asArray(root['producerDataSet'], GROUPS_MAX)) {
    const group = asText(asObject(item)?.['groupName'])
    if (isName(group)) producerGroups.push(group)
  }
  return {
    clientId,
    consumers,
    producerGroups,
    fingerprint: asNumber(root['heartbeatFingerprint']),
    withoutSubscriptions: root['withoutSub'] === true,
  }
}

function decodeConsumer(data: Record<string, unknown> | null): ConsumerData | null {
  const group = asText(data?.['groupName'])
  if (data === null || !isName(group)) return null
  const subscriptions: Subscription[] = []
  for (const item of asArray(data['subscriptionDataSet'], SUBSCRIPTIONS_MAX)) {
    const fields = asObject(item)
    const topic = asText(fields?.['topic'])
    if (fields === null || !isName(topic)) continue
    const type = asText(fields['expressionType'])
    const subscription = buildSubscription(topic, asText(fields['subString']), type, asNumber(fields['subVersion']))
    if (subscription !== null) subscriptions.push(subscription)
  }
  return {
    group,
    consumeType: asText(data['consumeType']),
    messageModel: data['messageModel'] === 'BROADCASTING' ? 'BROADCASTING' : 'CLUSTERING',
    consumeFromWhere: asText(data['consumeFromWhere']),
    subscriptions,
  }
}

function isName(text: string): boolean {
  return text !== '' && text.length <= NAME_LENGTH_MAX
}

function asObject(value: unknown): Record<string, unknown> | null {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : null
}

function asArray(value: unknown, max: number): readonly unknown[] {
  return Array.isArray(value) && value.length <= max ? value : []
}

function asText(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

function asNumber(value: unknown): number {
  return typeof value === 'number' && Number.isSafeInteger(value) ? value : 0
}
