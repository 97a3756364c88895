/** Consumer groups with their settings, as tools write and read them. */
import { type DialectValue, dialectText } from './dialect.ts'
import { asArray, asEntries, asObject, asText, booleanOr, numberOr, parseObject, textOr } from './reader.ts'

export interface SubscriptionGroup {
  groupName: string
  consumeEnable: boolean
  consumeFromMinEnable: boolean
  consumeBroadcastEnable: boolean
  consumeMessageOrderly: boolean
  retryQueueNums: number
  retryMaxTimes: number
  brokerId: number
  whichBrokerWhenConsumeSlowly: number
  notifyConsumerIdsChangedEnable: boolean
  groupSysFlag: number
  consumeTimeoutMinute: number
  attributes: Record<string, string>
  /** JSON; brokers do not look into them. */
  groupRetryPolicy?: string
  subscriptionDataSet?: string
}

/** Keys of attributes have a sign: they are changes. @throws RemotingError `BAD_BODY`. */
export function decodeSubscriptionGroup(body: Buffer): SubscriptionGroup {
  return readSubscriptionGroup(parseObject(body, 'a group'))
}

/** The body of UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST. @throws RemotingError `BAD_BODY`. */
export function decodeSubscriptionGroupList(body: Buffer): SubscriptionGroup[] {
  const { groupConfigList } = parseObject(body, 'a group list')
  return asArray(groupConfigList, 'groupConfigList').map(readSubscriptionGroup)
}

function readSubscriptionGroup(value: DialectValue | undefined): SubscriptionGroup {
  const object = asObject(value, 'a group')
  const attributes: Record<string, string> = {}
  for (const [key, attribute] of asEntries(object['attributes'], 'attributes')) {
    attributes[key] = asText(attribute, 'an attribute')
  }
  const { groupRetryPolicy, subscriptionDataSet } = object
  return {
    groupName: textOr(object['groupName'], '', 'groupName'),
    consumeEnable: booleanOr(object['consumeEnable'], true, 'consumeEnable'),
    consumeFromMinEnable: booleanOr(object['consumeFromMinEnable'], true, 'consumeFromMinEnable'),
    consumeBroadcastEnable: booleanOr(object['consumeBroadcastEnable'], true, 'consumeBroadcastEnable'),
    consumeMessageOrderly: booleanOr(object['consumeMessageOrderly'], false, 'consumeMessageOrderly'),
    retryQueueNums: numberOr(object['retryQueueNums'], 1, 'retryQueueNums'),
    retryMaxTimes: numberOr(object['retryMaxTimes'], 16, 'retryMaxTimes'),
    brokerId: numberOr(object['brokerId'], 0, 'brokerId'),
    whichBrokerWhenConsumeSlowly: numberOr(object['whichBrokerWhenConsumeSlowly'], 1, 'whichBrokerWhenConsumeSlowly'),
    notifyConsumerIdsChangedEnable: booleanOr(
      object['notifyConsumerIdsChangedEnable'],
      true,
      'notifyConsumerIdsChangedEnable',
    ),
    groupSysFlag: numberOr(object['groupSysFlag'], 0, 'groupSysFlag'),
    consumeTimeoutMinute: numberOr(object['consumeTimeoutMinute'], 15, 'consumeTimeoutMinute'),
    attributes,
    ...(isAbsent(groupRetryPolicy) ? {} : { groupRetryPolicy: dialectText(groupRetryPolicy) }),
    ...(isAbsent(subscriptionDataSet) ? {} : { subscriptionDataSet: dialectText(subscriptionDataSet) }),
  }
}

/** Keys in alphabetical order, as Java writes them. */
export function subscriptionGroupText(
  group: Readonly<Omit<SubscriptionGroup, 'attributes'>> & { readonly attributes: Readonly<Record<string, string>> },
): string {
  const { groupRetryPolicy = '{"type":"CUSTOMIZED"}', subscriptionDataSet } = group
  const before = JSON.stringify({
    attributes: group.attributes,
    brokerId: group.brokerId,
    consumeBroadcastEnable: group.consumeBroadcastEnable,
    consumeEnable: group.consumeEnable,
    consumeFromMinEnable: group.consumeFromMinEnable,
    consumeMessageOrderly: group.consumeMessageOrderly,
    consumeTimeoutMinute: group.consumeTimeoutMinute,
    groupName: group.groupName,
  })
  const after = JSON.stringify({
    groupSysFlag: group.groupSysFlag,
    notifyConsumerIdsChangedEnable: group.notifyConsumerIdsChangedEnable,
    retryMaxTimes: group.retryMaxTimes,
    retryQueueNums: group.retryQueueNums,
  })
  const subscriptions = subscriptionDataSet === undefined ? '' : `,"subscriptionDataSet":${subscriptionDataSet}`
  const last = `"whichBrokerWhenConsumeSlowly":${group.whichBrokerWhenConsumeSlowly}`
  return `${before.slice(0, -1)},"groupRetryPolicy":${groupRetryPolicy},${after.slice(1, -1)}${subscriptions},${last}}`
}

export function encodeSubscriptionGroup(group: SubscriptionGroup): Buffer {
  return Buffer.from(subscriptionGroupText(group))
}

export function encodeSubscriptionGroupList(groups: readonly SubscriptionGroup[]): Buffer {
  return Buffer.from(`{"groupConfigList":[${groups.map(subscriptionGroupText).join(',')}]}`)
}

function isAbsent(value: DialectValue | undefined): value is null | undefined {
  return value === undefined || value === null
}
