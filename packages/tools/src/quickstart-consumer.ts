/** `quickstart-consumer`: prints messages of a topic as they arrive. */
import { PushConsumer } from '@dledger-ts/client'
import { namesrvOf, wholeCount } from './server/quickstart-flags.ts'
import { closeOnSignal, command, endWithReader, fail, VERSION } from './server/program.ts'

const PROGRAM = 'quickstart-consumer'

interface Flags {
  readonly namesrvAddr?: string
  readonly tls?: boolean
  readonly topic: string
  readonly count?: string
}

async function main(flags: Flags): Promise<void> {
  endWithReader()
  let left = flags.count === undefined ? Number.POSITIVE_INFINITY : wholeCount(flags.count)
  const consumer = new PushConsumer({
    group: 'quickstart_consumer',
    namesrvAddress: namesrvOf(flags.namesrvAddr),
    tls: flags.tls === true,
    consumeFrom: { from: 'FIRST_OFFSET' },
    listener: (messages) => {
      for (const message of messages) {
        process.stdout.write(
          `${message.msgId} queue ${message.queueId} offset ${message.queueOffset} ${message.body.toString()}\n`,
        )
        left--
        if (left === 0) setImmediate(() => process.kill(process.pid, 'SIGTERM'))
      }
      return 'CONSUME_SUCCESS'
    },
  })
  consumer.subscribe(flags.topic, '*')
  await consumer.start()
  closeOnSignal(
    () => consumer.close(),
    (error) => process.stderr.write(`${PROGRAM}: ${String(error)}\n`),
  )
}

command(PROGRAM)
  .description('Prints the messages of a topic as they arrive, from the first one on.')
  .option('-n, --namesrvAddr <ADDR;ADDR>', 'namesrv addresses (default: $NAMESRV_ADDR, then 127.0.0.1:9876)')
  .option('--tls', 'with TLS; certificates are not checked')
  .option('-t, --topic <TOPIC>', 'the topic', 'TopicTest')
  .option('-c, --count <COUNT>', 'end after so many messages (default: go on)')
  .version(VERSION)
  .action((flags: Flags) => main(flags).catch((error: unknown) => fail(PROGRAM, error)))
  .parse()
