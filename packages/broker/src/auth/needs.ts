/**
 * What a caller must be allowed to for each request, as Apache's broker asks it, and where that asks nothing, more.
 *
 * Keeps:
 *   - a code that is not in the table needs everything on the cluster: nothing is open because it was forgotten;
 *   - what a request names is what it needs, in its header or its body; a request that names nothing where it should needs the cluster;
 *   - the retry topic of a group is the group's: who may consume as a group may not read what others have back.
 *
 * Source: DefaultAuthorizationContextBuilder, the annotations of request headers (RocketMQAction, RocketMQResource). Apache's broker lets
 * everybody who has signed do what has no header with an annotation: 18, 21, 25, 26, 200, 225, 361, 400, 401, 200151 and others.
 */
import { isRetryTopic, RETRY_TOPIC_PREFIX } from '@dledger-ts/protocol'
import {
  decodeAssignmentQuery,
  decodeBatchAck,
  decodeCheckClientConfig,
  decodeHeartbeat,
  decodeLockBatchRequest,
  decodeRequestMode,
  decodeTopicConfigList,
  parseDialect,
  type RemotingCommand,
} from '@dledger-ts/remoting'
import type { Action, Need } from './policies.ts'

/** @throws RemotingError for a body that cannot be read. */
export type Rule = (request: RemotingCommand, clusterName: string) => readonly Need[]

type FieldType = 'topic' | 'group' | 'topics' | 'groups'
/** Separates names in one field: `;` for topics (Apache's TOPIC_NAME_SEPARATOR), `,` for groups. */
const SEPARATORS = { topics: ';', groups: ',' } as const
const REPLY_TOPIC_SUFFIX = '_REPLY_TOPIC'

export function needsOf(request: RemotingCommand, clusterName: string): readonly Need[] {
  return (RULES.get(request.code) ?? ON_CLUSTER.All)(request, clusterName)
}

/** A message that a request names by its place. */
export interface NamedMessage {
  readonly topic: string
  readonly action: 'read' | 'write'
  /** The group that reads it; null: nobody's. */
  readonly group: string | null
}

export function needsOfMessage({ topic, action, group }: NamedMessage): readonly Need[] {
  const actions = action === 'read' ? SUB_OR_GET : PUB
  return group === null ? [onTopic(topic, actions)] : onBoth(group, topic, actions)
}

export function hasRule(code: number): boolean {
  return RULES.has(code)
}

/** Those whose fields these are; the cluster when none of them is there. */
function onFields(actions: readonly Action[], fields: Readonly<Record<string, FieldType>>): Rule {
  const declared = Object.entries(fields)
  return ({ extFields }, clusterName) => {
    const needs: Need[] = []
    for (const [name, type] of declared) {
      const value = extFields?.[name]
      if (value === undefined || value === '') continue
      const names = type === 'topics' || type === 'groups' ? value.split(SEPARATORS[type]) : [value]
      for (const one of names) {
        if (one === '') continue
        needs.push(type === 'topic' || type === 'topics' ? onTopic(one, actions) : onGroup(one, actions))
      }
    }
    return needs.length > 0 ? needs : [{ type: 'Cluster', name: clusterName, actions }]
  }
}

function onCluster(action: Action): Rule {
  const actions = [action]
  return (_request, clusterName) => [{ type: 'Cluster', name: clusterName, actions }]
}

function onTopic(topic: string, actions: readonly Action[]): Need {
  return isRetryTopic(topic) ? onGroup(topic, actions) : { type: 'Topic', name: topic, actions }
}

function onGroup(group: string, actions: readonly Action[]): Need {
  const name = isRetryTopic(group) ? group.slice(RETRY_TOPIC_PREFIX.length) : group
  return { type: 'Group', name, actions }
}

/**
 * A group and what it consumes. The messages of a topic that it popped and did not acknowledge wait under `%RETRY%group_topic` or
 * `%RETRY%group+topic`: of those it needs the topic. The retry topic of another group is that group's.
 */
function onBoth(group: string, topic: string, actions: readonly Action[]): Need[] {
  const own = onGroup(group, actions)
  if (!isRetryTopic(topic)) return [own, onTopic(topic, actions)]
  const rest = topic.slice(RETRY_TOPIC_PREFIX.length)
  if (rest === own.name) return [own]
  const isOfPop = rest.startsWith(`${own.name}_`) || rest.startsWith(`${own.name}+`)
  return [own, isOfPop ? onTopic(rest.slice(own.name.length + 1), actions) : onGroup(topic, actions)]
}

/** The group and the topic of the header. */
function consuming(actions: readonly Action[]): Rule {
  return ({ extFields }) => onBoth(extFields?.['consumerGroup'] ?? '', extFields?.['topic'] ?? '', actions)
}

const PUB: readonly Action[] = ['Pub']
const SUB: readonly Action[] = ['Sub']
const GET: readonly Action[] = ['Get']
const UPDATE: readonly Action[] = ['Update']
const CREATE: readonly Action[] = ['Create']
const DELETE: readonly Action[] = ['Delete']
/** Who consumes something may know where it stands. */
const SUB_OR_GET: readonly Action[] = ['Sub', 'Get']
const ON_CLUSTER = { Get: onCluster('Get'), Update: onCluster('Update'), All: onCluster('All') } as const

/** A message to a retry topic is a consumer's that gives it back. */
function send(topicField: 'topic' | 'b'): Rule {
  return ({ extFields }) => {
    const topic = extFields?.[topicField] ?? ''
    return [isRetryTopic(topic) ? onGroup(topic, SUB) : onTopic(topic, PUB)]
  }
}

/** An answer to a request goes to who asked, and into the reply topic: consumers need no more for it than that they are known. */
function reply(topicField: 'topic' | 'b'): Rule {
  return ({ extFields }) => {
    const topic = extFields?.[topicField] ?? ''
    return topic.endsWith(REPLY_TOPIC_SUFFIX) ? [] : [onTopic(topic, PUB)]
  }
}

/** Clients other than Java's do not name the topic of the half message. */
const endTransaction: Rule = ({ extFields }) => {
  const topic = extFields?.['topic'] ?? ''
  return topic.trim() === '' ? [] : [onTopic(topic, PUB)]
}

const heartbeat: Rule = (request) => {
  const needs: Need[] = []
  for (const { groupName, subscriptionDataSet } of decodeHeartbeat(request.bodyBytes).consumerDataSet) {
    needs.push(onGroup(groupName, SUB))
    for (const { topic } of subscriptionDataSet) if (!isRetryTopic(topic)) needs.push(onTopic(topic, SUB))
  }
  return needs
}

const unregister: Rule = ({ extFields }) => {
  const group = extFields?.['consumerGroup'] ?? ''
  return group.trim() === '' ? [] : [onGroup(group, SUB)]
}

const queueLocks: Rule = (request) => {
  const { consumerGroup, mqSet } = decodeLockBatchRequest(request.bodyBytes)
  const topics = new Set(mqSet.map(({ topic }) => topic))
  return [onGroup(consumerGroup, SUB), ...[...topics].flatMap((topic) => onBoth(consumerGroup, topic, SUB).slice(1))]
}

const clientCheck: Rule = (request) => {
  const { group, subscriptionData } = decodeCheckClientConfig(request.bodyBytes)
  return onBoth(group, subscriptionData.topic, SUB)
}

const assignment: Rule = (request) => {
  const { group, topic } = decodeAssignmentQuery(request.bodyBytes)
  return onBoth(group, topic, SUB)
}

const requestMode: Rule = (request) => {
  const { group, topic } = decodeRequestMode(request.bodyBytes)
  return [onGroup(group, UPDATE), onTopic(topic, UPDATE)]
}

const batchAck: Rule = (request) => {
  const needs = new Map<string, Need>()
  for (const { consumerGroup, topic } of decodeBatchAck(request.bodyBytes).acks) {
    for (const need of onBoth(consumerGroup, topic, SUB)) needs.set(`${need.type}:${need.name}`, need)
  }
  return [...needs.values()]
}

const topicList: Rule = (request) =>
  decodeTopicConfigList(request.bodyBytes).map(({ topicName }) => onTopic(topicName, CREATE))

/** 200: one group's configuration; 225: several. */
const groups: Rule = (request, clusterName) => {
  const found = groupNames(parseDialect(request.bodyBytes.toString('utf8')))
  if (found.length > 0) return found.map((name) => onGroup(name, CREATE))
  return [{ type: 'Cluster', name: clusterName, actions: CREATE }]
}

function groupNames(body: ReturnType<typeof parseDialect>): string[] {
  if (typeof body !== 'object' || body === null || Array.isArray(body) || body instanceof Map) return []
  const { groupName, groupConfigList } = body
  // Both are looked at: which of them the handler takes is not known here.
  const own = typeof groupName === 'string' ? [groupName] : []
  return Array.isArray(groupConfigList) ? [...own, ...groupConfigList.flatMap(groupNames)] : own
}

/** Offsets of one group are copied to another. */
const cloneOffsets: Rule = (request, clusterName) => [
  ...onFields(GET, { srcGroup: 'group' })(request, clusterName),
  ...onFields(UPDATE, { destGroup: 'group', topic: 'topic' })(request, clusterName),
]

const groupAndTopic = { group: 'group', topic: 'topic' } as const

const RULES: ReadonlyMap<number, Rule> = new Map<number, Rule>([
  // Messages
  [10, send('topic')],
  [310, send('b')],
  [320, send('b')],
  [324, reply('topic')],
  [325, reply('b')],
  [36, onFields(SUB, { group: 'group' })],
  [37, endTransaction],
  [370, onFields(PUB, { topic: 'topic' })],
  [11, consuming(SUB)],
  [361, consuming(SUB)],
  [12, onFields(SUB_OR_GET, { topic: 'topic' })],
  [33, onFields(SUB_OR_GET, { topic: 'topic' })],
  // Offsets. Apache asks for Get in 29 to 32, which a consumer that begins at the end of a queue needs as well.
  [14, consuming(SUB_OR_GET)],
  [15, consuming(['Sub', 'Update'])],
  [29, onFields(SUB_OR_GET, { topic: 'topic' })],
  [30, onFields(SUB_OR_GET, { topic: 'topic' })],
  [31, onFields(SUB_OR_GET, { topic: 'topic' })],
  [32, onFields(SUB_OR_GET, { topic: 'topic' })],
  // Clients
  [34, heartbeat],
  [35, unregister],
  [38, onFields(SUB_OR_GET, { consumerGroup: 'group' })],
  [41, queueLocks],
  [42, queueLocks],
  [46, clientCheck],
  [47, ON_CLUSTER.Get],
  [400, assignment],
  [401, requestMode],
  [402, ON_CLUSTER.Get],
  // Pop
  [200050, consuming(SUB)],
  [200051, consuming(SUB)],
  [200052, consuming(SUB)],
  [200053, consuming(SUB)],
  [200054, consuming(SUB)],
  [200055, consuming(GET)],
  [200056, ON_CLUSTER.Update],
  [200151, batchAck],
  // Topics and groups
  [17, onFields(CREATE, { topic: 'topic' })],
  [18, topicList],
  [21, ON_CLUSTER.Get],
  [215, onFields(DELETE, { topic: 'topic' })],
  [351, onFields(GET, { topic: 'topic' })],
  [200, groups],
  [225, groups],
  [201, ON_CLUSTER.Get],
  [207, onFields(DELETE, { groupName: 'group' })],
  [352, onFields(GET, { group: 'group' })],
  [353, onFields(UPDATE, groupAndTopic)],
  // Looking at them
  [202, onFields(GET, { topic: 'topic' })],
  [203, onFields(GET, { consumerGroup: 'group' })],
  [204, ON_CLUSTER.Get],
  [208, onFields(GET, { consumerGroup: 'group', topic: 'topic', topicList: 'topics' })],
  [300, onFields(GET, { topic: 'topic' })],
  [303, onFields(GET, groupAndTopic)],
  [305, ON_CLUSTER.Get],
  [307, onFields(GET, { consumerGroup: 'group' })],
  [308, onFields(GET, { filterGroups: 'groups', compareGroup: 'group', topic: 'topic' })],
  [309, onFields(SUB, { consumerGroup: 'group', topic: 'topic' })],
  [315, ON_CLUSTER.Get],
  [317, ON_CLUSTER.Get],
  [321, onFields(GET, { consumerGroup: 'group', topic: 'topic' })],
  [328, ON_CLUSTER.Get],
  [343, onFields(GET, { group: 'group' })],
  [345, onFields(GET, groupAndTopic)],
  // Changing where groups stand
  [222, onFields(UPDATE, groupAndTopic)],
  [223, onFields(GET, groupAndTopic)],
  [314, cloneOffsets],
  [323, onFields(UPDATE, { topic: 'topic' })],
  // The broker
  [25, ON_CLUSTER.Update],
  [26, ON_CLUSTER.Get],
  [27, ON_CLUSTER.Update],
  [28, ON_CLUSTER.Get],
  [43, ON_CLUSTER.Get],
  [45, ON_CLUSTER.Get],
  [60, ON_CLUSTER.Get],
  [61, ON_CLUSTER.Get],
  [306, ON_CLUSTER.Update],
  [316, ON_CLUSTER.Update],
  [329, ON_CLUSTER.Update],
  [354, onFields(GET, { topic: 'topic' })],
  [355, ON_CLUSTER.Get],
  [906, ON_CLUSTER.Update],
  [907, ON_CLUSTER.Get],
  [908, ON_CLUSTER.Update],
  [2001, ON_CLUSTER.Update],
  [2002, ON_CLUSTER.Update],
  [2003, ON_CLUSTER.Get],
  [2004, ON_CLUSTER.Update],
  [5001, ON_CLUSTER.Update],
  [5002, ON_CLUSTER.All],
  [5003, ON_CLUSTER.All],
  // Users and policies, also of 4.9
  [50, ON_CLUSTER.Update],
  [51, ON_CLUSTER.Update],
  [52, ON_CLUSTER.Get],
  [53, ON_CLUSTER.Update],
  [3001, ON_CLUSTER.Update],
  [3002, ON_CLUSTER.Update],
  [3003, ON_CLUSTER.Update],
  [3004, ON_CLUSTER.Get],
  [3005, ON_CLUSTER.Get],
  [3006, ON_CLUSTER.Update],
  [3007, ON_CLUSTER.Update],
  [3008, ON_CLUSTER.Update],
  [3009, ON_CLUSTER.Get],
  [3010, ON_CLUSTER.Get],
  // Ours: a slave is given everything.
  [209001, ON_CLUSTER.All],
])
