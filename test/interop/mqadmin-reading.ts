/** Commands of mqadmin that change nothing, and what each must print. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { lacks, rowsOf, type SentMessage, type Step, type World } from './mqadmin-step.ts'

/** The last message of the first queue. */
function sample({ messages }: World): SentMessage {
  return messages.filter(({ queueId }) => queueId === 0).at(-1) as SentMessage
}

/** Version 4 of the tool knows fewer options, and prints fewer columns. */
function isOf4({ version }: Pick<World, 'version'>): boolean {
  return version.startsWith('4.')
}

function countOf({ messages }: World, queueId: number): number {
  return messages.filter((message) => message.queueId === queueId).length
}

/** Each queue in a line of its own, with these numbers behind its id. */
function lacksQueues(output: string, world: World, numbers: (count: number) => readonly number[]): string | undefined {
  const queues = [0, 1, 2, 3].map((queueId) => [queueId, ...numbers(countOf(world, queueId))].join('\\s+'))
  return lacks(output, ...queues.map((text) => new RegExp(`${world.brokerName}\\s+${text}\\s`)))
}

/** Keys that mqadmin or the dashboard look for in what a broker says of itself. */
const RUNTIME_KEYS = [
  'brokerVersionDesc',
  'brokerActive',
  'bootTimestamp',
  'runtime',
  'msgPutTotalYesterdayMorning',
  'msgPutTotalTodayMorning',
  'msgPutTotalTodayNow',
  'msgGetTotalYesterdayMorning',
  'msgGetTotalTodayMorning',
  'msgGetTotalTodayNow',
  'sendThreadPoolQueueSize',
  'sendThreadPoolQueueCapacity',
  'sendThreadPoolQueueHeadWaitTimeMills',
  'pullThreadPoolQueueSize',
  'queryThreadPoolQueueSize',
  'ackThreadPoolQueueSize',
  'EndTransactionQueueSize',
  'putTps',
  'getTotalTps',
  'getFoundTps',
  'getMissTps',
  'getTransferredTps',
  'putMessageAverageSize',
  'putMessageTimesTotal',
  'putMessageFailedTimes',
  'putMessageSizeTotal',
  'putMessageEntireTimeMax',
  'getMessageEntireTimeMax',
  'putMessageDistributeTime',
  'putLatency99',
  'putLatency999',
  'dispatchBehindBytes',
  'commitLogMinOffset',
  'commitLogMaxOffset',
  'commitLogDiskRatio',
  'consumeQueueDiskRatio',
  'commitLogDirCapacity',
  'pageCacheLockTimeMills',
  'earliestMessageTimeStamp',
  'startAcceptSendRequestTimeStamp',
  'remainTransientStoreBufferNumbs',
  'timerReadBehind',
  'timerCongestNum',
]

function runtimeFacts(output: string, world: World): string | undefined {
  const missing = RUNTIME_KEYS.find((key) => !new RegExp(`\\b${key}\\s*:`).test(output))
  if (missing !== undefined) return `it does not print ${missing}`
  const put = Number(/msgPutTotalTodayNow\s*: (\d+)/.exec(output)?.[1])
  const got = Number(/msgGetTotalTodayNow\s*: (\d+)/.exec(output)?.[1])
  const sent = world.messages.length
  return put >= sent && got >= sent ? undefined : `${put} put and ${got} got, where ${sent} were sent and consumed`
}

export const READING: readonly Step[] = [
  {
    name: 'clusterList',
    args: () => ['clusterList'],
    wrong: (output, { cluster, brokerName, brokerAddr, brokerAddrs }) =>
      lacks(output, ...brokerAddrs) ??
      lacks(
        output,
        new RegExp(`${cluster}\\s+${brokerName}\\s+0\\s+${brokerAddr}\\s+V5_3_3\\s+\\d+\\.\\d+\\(0,0ms\\)`),
      ),
  },
  {
    name: 'clusterList -m',
    args: () => ['clusterList', '-m'],
    wrong: (output, { cluster, brokerName, messages, day }) => {
      // From midnight on what the suite sent before it is of yesterday.
      const isSameDay = new Date().toDateString() === day
      const rows = rowsOf(output, brokerName).map((words) => words.map(Number))
      const counts = rows.map(([, , yesterday = NaN, , today = NaN]) => (isSameDay ? today : yesterday + today))
      if (counts.length !== 3 || !(Math.max(...counts) >= messages.length))
        return `messages of today: ${counts.join(', ')}`
      return isSameDay ? lacks(output, new RegExp(`${cluster}\\s+${brokerName}\\s+0\\s+0\\s`)) : undefined
    },
  },
  {
    name: 'topicList',
    args: () => ['topicList'],
    wrong: (output, { topic, group }) => lacks(output, topic, `%RETRY%${group}`),
  },
  {
    name: 'topicList -c',
    args: () => ['topicList', '-c'],
    wrong: (output, { topic, group, cluster }) => lacks(output, new RegExp(`${cluster}\\s+${topic}\\s+${group}`)),
  },
  {
    name: 'topicRoute',
    args: ({ topic }) => ['topicRoute', '-t', topic],
    wrong: (output, { brokerAddr, brokerName }) => lacks(output, brokerAddr, brokerName, /"writeQueueNums": ?4/),
  },
  {
    name: 'topicClusterList',
    args: ({ topic }) => ['topicClusterList', '-t', topic],
    wrong: (output, { cluster }) => lacks(output, cluster),
  },
  {
    name: 'topicStatus',
    args: ({ topic }) => ['topicStatus', '-t', topic],
    wrong: (output, world) => lacksQueues(output, world, (count) => [0, count]) ?? lacks(output, /\d\d:\d\d:\d\d/),
  },
  {
    name: 'consumerProgress',
    args: () => ['consumerProgress'],
    wrong: (output, { group }) =>
      lacks(output, new RegExp(`${group}\\s+1\\s+V\\S+\\s+PUSH\\s+CLUSTERING\\s+\\d+\\s+0`)),
  },
  {
    name: 'consumerProgress -g',
    args: ({ group }) => ['consumerProgress', '-g', group],
    wrong: (output, world) =>
      lacksQueues(output, world, (count) => (isOf4(world) ? [count, count, 0] : [count, count, 0, 0])) ??
      lacks(output, /Diff Total: 0$/m),
  },
  {
    name: 'consumerProgress -g -t',
    args: ({ version, group, topic, cluster }) =>
      isOf4({ version }) ? null : ['consumerProgress', '-g', group, '-t', topic, '-c', cluster],
    wrong: (output, world) => lacksQueues(output, world, (count) => [count, count, 0, 0]),
  },
  {
    name: 'consumerConnection',
    args: ({ group }) => ['consumerConnection', '-g', group],
    wrong: (output, { topic, group }) =>
      lacks(
        output,
        new RegExp(`@consumer_${group}\\S*\\s+127\\.0\\.0\\.1:\\d+\\s+JAVA\\s+V[45]_`),
        new RegExp(`${topic}\\s+TagA`),
        `%RETRY%${group}`,
        'ConsumeType: CONSUME_PASSIVELY',
        'MessageModel: CLUSTERING',
        'ConsumeFromWhere: CONSUME_FROM_FIRST_OFFSET',
      ),
  },
  {
    name: 'producerConnection',
    args: ({ producerGroup, topic }) => ['producerConnection', '-g', producerGroup, '-t', topic],
    wrong: (output, { producerGroup }) =>
      lacks(output, new RegExp(`@producer_${producerGroup}\\S*\\s+127\\.0\\.0\\.1:\\d+\\s+JAVA\\s+V[45]_`)),
  },
  {
    name: 'producer',
    args: ({ brokerAddr }) => ['producer', '-b', brokerAddr],
    wrong: (output, { producerGroup }) => lacks(output, `producer group (${producerGroup}) instance : `),
  },
  {
    name: 'brokerStatus -b',
    args: ({ brokerAddr }) => ['brokerStatus', '-b', brokerAddr],
    wrong: runtimeFacts,
  },
  {
    name: 'brokerStatus -c',
    args: ({ cluster }) => ['brokerStatus', '-c', cluster],
    // A follower has given out nothing: what the leader says is looked at.
    wrong: (output, world) =>
      lacks(output, ...world.brokerAddrs) ??
      runtimeFacts(
        output
          .split('\n')
          .filter((line) => line.startsWith(world.brokerAddr))
          .join('\n'),
        world,
      ),
  },
  {
    name: 'getBrokerConfig -b',
    args: ({ brokerAddr }) => ['getBrokerConfig', '-b', brokerAddr],
    wrong: (output, { cluster, brokerName }) =>
      lacks(output, new RegExp(`brokerClusterName\\s+=\\s+${cluster}`), new RegExp(`brokerName\\s+=\\s+${brokerName}`)),
  },
  {
    name: 'getBrokerConfig -c',
    args: ({ cluster }) => ['getBrokerConfig', '-c', cluster],
    wrong: (output, { brokerAddrs }) =>
      lacks(output, ...brokerAddrs) ??
      (output.split('fileReservedTime').length === 4 ? undefined : 'not three of them'),
  },
  {
    name: 'brokerConsumeStats',
    args: ({ brokerAddr }) => ['brokerConsumeStats', '-b', brokerAddr],
    wrong: (output, { topic, group, brokerName }) =>
      lacks(
        output,
        new RegExp(`${topic}\\s+${group}\\s+${brokerName}\\s+0\\s+5\\s+5\\s+0\\s+\\d{4}-`),
        new RegExp(`${topic}\\s+${group}\\s+${brokerName}\\s+3\\s+2\\s+2\\s+0\\s+\\d{4}-`),
        'Diff Total: 0',
      ),
  },
  {
    name: 'statsAll -t',
    args: ({ topic }) => ['statsAll', '-t', topic],
    wrong: (output, { topic, group, messages: { length: count } }) =>
      lacks(output, new RegExp(`${topic}\\s+${group}\\s+0\\s+\\d+\\.\\d+\\s+\\d+\\.\\d+\\s+${count}\\s+${count}`)),
  },
  {
    name: 'statsAll',
    args: () => ['statsAll'],
    wrong: (output, { topic, brokerName }) => lacks(output, topic, brokerName, 'TBW102'),
  },
  {
    name: 'queryCq',
    args: ({ topic, brokerAddr }) => ['queryCq', '-t', topic, '-q', '0', '-i', '1', '-c', '3', '-b', brokerAddr],
    wrong: (output, { messages }) =>
      lacks(output, 'max: 5, min: 0') ??
      // The last eight bytes of an offset message id are the place in the log.
      lacks(output, ...messages.slice(1, 4).map(({ offsetId }) => String(Number(`0x${offsetId.slice(-16)}`)))),
  },
  {
    name: 'queryCq -g',
    args: ({ topic, group }) => ['queryCq', '-t', topic, '-q', '3', '-i', '0', '-c', '9', '-g', group],
    wrong: (output) => lacks(output, 'max: 2, min: 0', 'Subscription data', 'TagA'),
  },
  {
    name: 'queryMsgById',
    args: (world) => ['queryMsgById', '-i', sample(world).offsetId, ...(isOf4(world) ? [] : ['-t', world.topic])],
    wrong: (output, world) => lacks(output, world.topic, sample(world).key, 'TagA', world.group),
  },
  {
    name: 'queryMsgByKey',
    args: (world) => ['queryMsgByKey', '-t', world.topic, '-k', sample(world).key],
    wrong: (output, world) =>
      lacks(output, new RegExp(`${sample(world).uniqueId}\\s+0\\s+${sample(world).queueOffset}`)),
  },
  {
    name: 'queryMsgByUniqueKey',
    args: (world) => ['queryMsgByUniqueKey', '-t', world.topic, '-i', sample(world).uniqueId],
    wrong: (output, world) => lacks(output, sample(world).key, world.topic, world.group),
  },
  {
    name: 'queryMsgByOffset',
    args: ({ topic, brokerName }) => ['queryMsgByOffset', '-t', topic, '-b', brokerName, '-i', '0', '-o', '4'],
    wrong: (output, world) => lacks(output, sample(world).key),
  },
  {
    name: 'queryMsgTraceById',
    args: (world) => ['queryMsgTraceById', '-i', (world.messages[0] as SentMessage).uniqueId],
    wrong: (output, { producerGroup }) => lacks(output, new RegExp(`Pub\\s+${producerGroup}\\s.*success`)),
  },
  {
    name: 'printMsg',
    args: ({ topic }) => ['printMsg', '-t', topic, '-d', 'true'],
    wrong: (output, { messages }) => lacks(output, ...messages.map(({ key }) => `body of ${key}`)),
  },
  {
    name: 'printMsgByQueue',
    args: ({ topic, brokerName }) => [
      'printMsgByQueue',
      '-t',
      topic,
      '-a',
      brokerName,
      '-i',
      '1',
      '-p',
      'true',
      '-d',
      'true',
    ],
    wrong: (output, { messages }) =>
      lacks(output, ...messages.filter(({ queueId }) => queueId === 1).map(({ key }) => `body of ${key}`)),
  },
  {
    name: 'consumeMessage',
    args: ({ topic, brokerName }) => ['consumeMessage', '-t', topic, '-b', brokerName, '-i', '3', '-o', '0', '-c', '2'],
    wrong: (output) => lacks(output, /key3_0/, /key3_1/),
  },
  {
    name: 'getConsumerConfig',
    args: ({ group }) => ['getConsumerConfig', '-g', group],
    wrong: (output, { group, cluster, brokerName }) =>
      lacks(output, `=${cluster}:${brokerName}=`, new RegExp(`groupName\\s+=\\s+${group}`), /retryMaxTimes\s+=\s+16/),
  },
  {
    name: 'getNamesrvConfig',
    args: () => ['getNamesrvConfig'],
    wrong: (output, { namesrv }) => lacks(output, namesrv, /listenPort\s+=\s+\d+/),
  },
  {
    name: 'allocateMQ',
    args: ({ topic }) => ['allocateMQ', '-t', topic, '-i', '10.0.0.1,10.0.0.2'],
    wrong: (output, { topic }) => lacks(output, '10.0.0.1', '10.0.0.2', topic),
  },
  {
    name: 'haStatus',
    args: ({ version, brokerAddr }) => (isOf4({ version }) ? null : ['haStatus', '-b', brokerAddr]),
    wrong: (output, { brokerAddr, brokerAddrs }) =>
      lacks(output, `#MasterAddr\t${brokerAddr}`, '#SlaveNum\t2', '#InSyncSlaveNum\t2') ??
      lacks(output, ...brokerAddrs.filter((addr) => addr !== brokerAddr)),
  },
  {
    name: 'exportMetadata',
    args: ({ cluster, directory }) => ['exportMetadata', '-c', cluster, '-f', join(directory, 'metadata')],
    wrong: (_output, world) => lacksFile(world, 'metadata', world.topic, world.group),
  },
  {
    name: 'exportConfigs',
    args: ({ cluster, directory }) => ['exportConfigs', '-c', cluster, '-f', join(directory, 'configs')],
    wrong: (_output, world) => lacksFile(world, 'configs', world.brokerName, 'fileReservedTime'),
  },
  {
    name: 'exportMetrics',
    args: ({ cluster, directory }) => ['exportMetrics', '-c', cluster, '-f', join(directory, 'metrics')],
    wrong: (_output, world) => lacksFile(world, 'metrics', world.brokerName, 'runtimeQuota', 'totalOneDayNum'),
  },
]

function lacksFile({ directory }: World, folder: string, ...facts: readonly (string | RegExp)[]): string | undefined {
  const path = join(directory, folder)
  const text = readdirSync(path).map((file) => readFileSync(join(path, file), 'utf8'))
  return lacks(text.join('\n'), ...facts)
}
