/**
 * A broker of one member inside a program, and a client that stores a message in it and reads it back.
 *
 *   node one-broker.mjs <directory>
 */
import { Broker, parseConfig } from '@dledger-ts/broker'
import { decodeRecords } from '@dledger-ts/protocol'
import { PullMessageRequest, PullSysFlag, RemotingClient, SendMessageRequest } from '@dledger-ts/remoting'

const { config } = parseConfig(
  // Port 0: the system chooses.
  { brokerName: 'broker-a', brokerIP1: '127.0.0.1', listenPort: '0', storePathRootDir: process.argv[2] ?? './store' },
  { homeDirectory: '.', hostName: 'localhost', address: '127.0.0.1' },
)
const broker = new Broker(config)
await broker.start()
const { role, brokerId } = broker.status()
console.log(`${role}, broker id ${brokerId}, healthy: ${broker.healthy()}`)

const client = new RemotingClient()
const sent = await client.invoke(
  broker.address,
  SendMessageRequest.request(
    {
      producerGroup: 'example',
      topic: 'Greetings',
      defaultTopic: 'TBW102',
      defaultTopicQueueNums: 1,
      queueId: 0,
      sysFlag: 0,
      bornTimestamp: Date.now(),
      flag: 0,
    },
    Buffer.from('hello'),
  ),
  3000,
)
console.log(`stored at offset ${sent.extFields.queueOffset} of queue ${sent.extFields.queueId}`)

const pulled = await client.invoke(
  broker.address,
  PullMessageRequest.request({
    consumerGroup: 'readers',
    topic: 'Greetings',
    queueId: 0,
    queueOffset: 0,
    maxMsgNums: 32,
    sysFlag: PullSysFlag.SUBSCRIPTION,
    commitOffset: 0,
    suspendTimeoutMillis: 0,
    subscription: '*',
    subVersion: 0,
  }),
  3000,
)
for (const record of decodeRecords(pulled.bodyBytes)) console.log(`read: ${record.body.toString()}`)
client.close()
await broker.close()
