/** The lines of use in the README are run as they stand there. */
import { readFileSync } from 'node:fs'
import { afterEach, expect, it } from 'vitest'
import * as client from './index.ts'
import { ScriptedCluster } from './testing/scripted-cluster.ts'

const cluster = new ScriptedCluster()
afterEach(() => cluster.close())

it('the example of the README runs', async () => {
  await cluster.start()
  const broker = await cluster.addBroker('b')
  cluster.addTopic({ name: 'Orders', queues: 2 })
  cluster.setMembers('b', [broker])

  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8')
  const code = /```ts\n(.*?)```/s.exec(readme)?.[1] ?? ''
  const [importLine = '', ...lines] = code.split('\n')
  expect(importLine).toContain("from '@dledger-ts/client'")
  const names = ['Producer', 'PushConsumer', 'process', 'console']
  const printed: unknown[] = []
  const values = [
    client.Producer,
    client.PushConsumer,
    { env: { NAMESRV_ADDR: cluster.namesrvAddress } },
    { log: (value: unknown) => printed.push(value) },
  ]
  // eslint-disable-next-line no-new-func -- the example is our own text.
  const run = new Function(...names, `return (async () => { ${lines.join('\n')} })()`) as (
    ...args: unknown[]
  ) => Promise<void>
  await run(...values)
  expect(printed[0]).toMatchObject({ status: 'SEND_OK', queue: { topic: 'Orders' } })
})
