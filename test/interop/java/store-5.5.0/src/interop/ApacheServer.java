package interop;

import org.apache.rocketmq.broker.BrokerController;
import org.apache.rocketmq.broker.BrokerStartup;
import org.apache.rocketmq.namesrv.NamesrvController;
import org.apache.rocketmq.namesrv.NamesrvStartup;

/**
 * Apache's name server and broker in one process: prints "done" when both run, ends them cleanly at the end of its input.
 *
 * Arguments: the configuration files of name server and broker.
 */
public final class ApacheServer {
    private ApacheServer() {}

    public static void main(String[] args) throws Exception {
        NamesrvStartup.parseCommandlineAndConfigFile(new String[] {"-c", args[0]});
        NamesrvController namesrv = NamesrvStartup.createAndStartNamesrvController();
        BrokerController broker = BrokerStartup.createBrokerController(new String[] {"-c", args[1]});
        broker.start();
        System.out.println("done");
        while (System.in.read() >= 0) {
            // Until the end.
        }
        broker.shutdown();
        namesrv.shutdown();
        System.out.println("done");
        System.out.flush();
        Runtime.getRuntime().halt(0);
    }
}
