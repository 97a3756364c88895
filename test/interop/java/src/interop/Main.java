package interop;

import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;
import org.apache.rocketmq.client.producer.DefaultMQProducer;

/**
 * An Apache client under test, driven by lines on standard input and answering with events on standard output.
 *
 *   create TOPIC QUEUES        creates a topic                                  → done
 *   consume NAME               a consumer of the group starts                   → done, then consumed…
 *   stop NAME                  and shuts down                                   → done
 *   send MODE PREFIX COUNT     MODE: sync, async, oneway, batch                 → acked | failed | oneway…, done
 *   flow MODE PREFIX           sends until `endflow`; MODE: sync, async, batch  → acked | failed…
 *   endflow                                                                     → done
 *   scenarios before           all scenarios, on a steady group                 → check…, done
 *   scenarios through          all scenarios, each to its middle                → middle…, done
 *   goon                       to their ends: the leader is dead                → check…, done
 *   exit                       shuts everything down                            → done, exit status 0
 *
 * Arguments: NAMESRV TOPIC GROUP.
 */
public final class Main {
    private Main() {}

    public static void main(String[] arguments) throws Exception {
        String topic = arguments[1];
        String group = arguments[2];
        Clients clients = new Clients(arguments[0]);
        DefaultMQProducer producer = clients.producer(group + "_producer");
        Sender sender = new Sender(producer, topic);
        Map<String, GroupConsumer> consumers = new HashMap<>();
        Map<String, Runnable> flows = new LinkedHashMap<>();
        Scenarios scenarios = new Scenarios(clients, topic);
        CommandLoop.run(words -> {
            switch (words[0]) {
                case "create" -> clients.createTopic(producer, words[1], Integer.parseInt(words[2]));
                case "consume" -> consumers.put(words[1], new GroupConsumer(clients, words[1], group, topic));
                case "stop" -> consumers.remove(words[1]).shutdown();
                case "send" -> sender.send(words[1], words[2], Integer.parseInt(words[3]));
                case "flow" -> flows.put(words[2], sender.flow(words[1], words[2]));
                case "endflow" -> {
                    flows.values().forEach(Runnable::run);
                    flows.clear();
                }
                case "scenarios" -> {
                    if (words[1].equals("before")) {
                        scenarios.before();
                    } else {
                        scenarios.toMiddle();
                    }
                }
                case "goon" -> scenarios.goOn();
                case "exit" -> {
                    consumers.values().forEach(GroupConsumer::shutdown);
                    producer.shutdown();
                }
                default -> throw CommandLoop.noSuchCommand(words);
            }
        });
    }
}
